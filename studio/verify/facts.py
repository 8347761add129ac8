"""The host's answer, as the checks read it."""

import json
from typing import Any

import pytest


class Facts:
    """The probe's answer by part; a part that could not be found out fails the check that reads it."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._found = found

    def __getitem__(self, part: str) -> Any:
        found = self._found.get(part)
        if found is None:
            reason = self._found.get("errors", {}).get(part, "the host has nothing deployed")
            pytest.fail(f"cannot be found out: {reason}", pytrace=False)
        return found

    def url(self, name: str) -> Any:
        """The JSON (or text) that a URL of the host answered."""
        answer = self["urls"][name]
        assert answer["status"] == 200, (
            f"{name} does not answer: {answer['status'] or 'no connection'} {answer['text'][:200]}"
        )
        return answer["text"] if answer["json"] is None else answer["json"]

    def running_seconds(self, unit: str) -> float:
        """For how long a service has been running."""
        return float({**self["user_units"], **self["host_units"]}[unit]["Seconds"])

    def status(self) -> dict[str, Any]:
        """What hostctl on the host says of itself."""
        code, out = self["status"]
        assert code == 0, f"hostctl status failed: {out.strip()[-300:]}"
        return dict(json.loads(out))

    def ages(self, name: str, label: str) -> dict[str, float]:
        """How many seconds old the newest sample is, by one label; several series may have the same value of it."""
        rows = self.url(name)["data"]["result"]
        oldest_first = sorted((float(row["value"][1]), row["metric"].get(label, "")) for row in rows)
        return {value: max(0.0, self["now"] - at) for at, value in oldest_first}

    def ours(self, uid: int) -> bool:
        """Whether a user id of the host is the studio's account or one of its subordinates."""
        account = self["account"]
        return uid == account["uid"] or any(first <= uid < first + count for first, count in account["subuid"])


def missing(wanted: set[Any], found: set[Any]) -> str:
    """The difference of two sets in words; empty when there is none."""
    lacking, extra = sorted(map(str, wanted - found)), sorted(map(str, found - wanted))
    words = [f"missing: {', '.join(lacking)}"] if lacking else []
    return "; ".join([*words, *([f"unexpected: {', '.join(extra)}"] if extra else [])])
