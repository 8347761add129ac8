"""What there is on a device: the answer to a deploy's one question, and what verification judges."""

import os
import pwd
import stat
import sys
from pathlib import Path
from typing import Any, Final

from devicectl import service, version
from devicectl.paths import ACCOUNT, Paths

FILES: Final = ("", "thermal_config.json", "provision.json", "provision.txt", "provision.txt.processed", "outbox.db")


def facts(paths: Paths, wanted: str) -> dict[str, Any]:
    """`wanted` is the version that ought to be there; nothing is changed and no secret is told."""
    config = service.read_object(paths.data / "thermal_config.json")
    mqtt = config.get("mqtt") if isinstance(config.get("mqtt"), dict) else {}
    unit = service.state()
    told = service.read_object(paths.data / "provision_status.json")
    return {
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "version": version.in_use(paths),
        "damage": version.damage(paths, wanted),
        "running": service.running(unit),
        "unit": unit,
        "name": config.get("device_name"),
        "server": mqtt.get("server") if isinstance(mqtt, dict) else None,
        "asked": os.path.lexists(paths.data / "provision.txt"),
        "request": (paths.data / "provision.json").exists(),
        "provisioning": {key: told.get(key) for key in ("phase", "step", "error", "updated")},
        "files": {name or ".": _mode(paths.data / name) for name in FILES},
        "left": left(paths),
        "said": service.last_words()
        if unit.get("ActiveState") != "active" and unit.get("LoadState") == "loaded"
        else "",
    }


def left(paths: Paths) -> list[str]:
    """What there is of the agent, to be removed: paths and the account."""
    places = (paths.program, paths.data, paths.unit, paths.drop_ins, paths.users, paths.command)
    found = [str(path) for path in places if os.path.lexists(path)]
    try:
        pwd.getpwnam(ACCOUNT)
    except KeyError:
        return found
    return [*found, f"the account {ACCOUNT}"]


def _mode(path: Path) -> str | None:
    """Mode and owner, as in `0600 studio-agent`; None when there is no such file."""
    try:
        found = path.lstat()
        owner = pwd.getpwuid(found.st_uid).pw_name
    except OSError:
        return None
    except KeyError:
        owner = str(found.st_uid)
    return f"{stat.S_IMODE(found.st_mode):04o} {owner}"
