"""Files: the generation as it was rendered, root's own, and secrets for root's eyes."""

from typing import Any

from studio.verify.expected import Expected
from studio.verify.facts import Facts, missing

MANIFEST = "manifest.json"
BASE = "/var/lib/sensor-pipeline"


def check_generation_is_unchanged(facts: Facts, expected: Expected) -> None:
    here = {p: f for p, f in facts["tree"]["generation"].items() if f["kind"] != "folder"}
    wanted = expected.manifest["files"]
    difference = missing({*wanted, MANIFEST}, set(here))
    assert not difference, difference
    changed = [p for p, f in wanted.items() if here[p].get("sha256") != f["sha256"]]
    assert not changed, f"changed on the host, or of another generation: {', '.join(changed)}"


def check_generation_belongs_to_root_with_the_right_modes(facts: Facts, expected: Expected) -> None:
    wanted = {p: f["mode"] for p, f in expected.manifest["files"].items()}
    wrong = [
        f"{path} is {f['mode']} of {f['uid']}:{f['gid']}"
        for path, f in facts["tree"]["generation"].items()
        if (f["uid"], f["gid"]) != (0, 0)
        or f["mode"] != (wanted.get(path, f["mode"] if f["kind"] == "file" else "0755"))
    ]
    assert not wrong, ", ".join(wrong)


def check_only_root_can_change_the_folders(facts: Facts, expected: Expected) -> None:
    tree = facts["tree"]
    given = {f["path"] for f in expected.folders}
    found = {name: tree[name] for name in ("base", "generations")}
    state = {p: f for p, f in tree["state"].items() if f"{BASE}/state/{p}" not in given}
    found |= {f"state/{p}": f for p, f in state.items() if f["kind"] == "folder"}
    found |= {f"extensions/{p}": f for p, f in tree["extensions"].items()}
    wrong = [f"{name} is {f.get('mode')} of {f.get('uid')}" for name, f in found.items() if not _roots_alone(f)]
    assert not wrong, ", ".join(wrong)


def _roots_alone(file: dict[str, Any]) -> bool:
    """Whether only root can change it."""
    return file["kind"] != "absent" and file["uid"] == 0 and not int(file["mode"], 8) & 0o022


def check_links_lead_to_the_generation(facts: Facts) -> None:
    tree = facts["tree"]
    assert tree["current"].get("target", "").startswith("generations/"), f"current is {tree['current']}"
    target = tree["quadlets"].get("target")
    assert target == "/var/lib/sensor-pipeline/current/quadlets", f"the account's quadlets are {tree['quadlets']}"


def check_secrets_are_for_root_alone(facts: Facts) -> None:
    found = facts["tree"]["secrets"]
    allowed = {"folder": {"0700"}, "file": {"0600", "0400"}}
    public = {path for path in found if path.endswith(".crt")}
    wrong = [
        f"secrets/{path} is {f.get('mode')} of {f.get('uid')}"
        for path, f in found.items()
        if f["uid"] != 0 or f["mode"] not in {*allowed.get(f["kind"], ()), *(["0644"] if path in public else [])}
    ]
    assert not wrong, ", ".join(wrong)


def check_broker_accounts_are_for_the_broker_alone(facts: Facts, expected: Expected) -> None:
    name = "hivemq-rbac/credentials.xml" if expected.studio.broker == "hivemq" else "mosquitto/passwd"
    file = facts["tree"]["state"].get(name, {"kind": "absent"})
    assert file["kind"] == "file", f"state/{name} is {file['kind']}"
    assert not int(file["mode"], 8) & 0o077, f"state/{name} is {file['mode']}"
    assert facts.ours(file["uid"]), f"state/{name} belongs to {file['uid']}, not to the broker"
