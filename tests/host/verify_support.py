"""The command `studio` as it is run on a studio's host, and what it answers."""

import json
from dataclasses import dataclass
from typing import Any

from deploy_support import REPOSITORY, StudioHost

from lab.host import Result

PROGRAM = ("/opt/venv/bin/python", "-m", "studio.cli")


def command(studio: StudioHost, *arguments: str, stdin: str | None = None, user: str = "root") -> Result:
    """Run `studio ARGUMENTS` on the host, from the test's copy of the repository."""
    environment = {"PYTHONPATH": REPOSITORY, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "160"}
    words = ["env", "-C", REPOSITORY, *(f"{k}={v}" for k, v in environment.items()), *PROGRAM, *arguments]
    return studio.host.exec(words, check=False, stdin=stdin, user=user)


@dataclass(frozen=True)
class Verified:
    """The answer of `studio verify --json`."""

    code: int
    results: list[dict[str, Any]]

    def keys(self, outcome: str) -> set[tuple[str, str]]:
        return {(r["check"], r["subject"]) for r in self.results if r["outcome"] == outcome}

    @property
    def failed(self) -> set[tuple[str, str]]:
        return self.keys("failed")

    def detail(self, check: str, subject: str = "") -> str:
        return next(str(r["detail"]) for r in self.results if (r["check"], r["subject"]) == (check, subject))


def verify(studio: StudioHost) -> Verified:
    """Verify the studio on its host."""
    done = command(studio, "verify", "lab", "--json")
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return Verified(done.returncode, json.loads(done.stdout)["results"])
