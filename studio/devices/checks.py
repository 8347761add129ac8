"""Whether a camera is as it should be: a pure function of what it told and of what arrived from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from studio.devices.plan import Found, Wanted, plan

HARDENING: Final = {
    "User": "studio-agent",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateUsers": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RestrictNamespaces": "yes",
}
FOLDER: Final = "0700 studio-agent"
OWN_FILES: Final = {"thermal_config.json": "0600 studio-agent", "outbox.db": "0600 studio-agent"}


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` is None while it cannot be said yet; `detail` says what is wrong."""

    name: str
    ok: bool | None
    detail: str = ""


def checks(found: Found, wanted: Wanted, age: float | None) -> list[Check]:
    """`age`: seconds since the camera's newest reading was stored; None: there is none."""
    return [*_plan(found, wanted), *_unit(found), *_files(found), _arrives(wanted, age)]


def _plan(found: Found, wanted: Wanted) -> Iterator[Check]:
    needed = plan(found, wanted)
    yield Check("the agent is the deployed one", not needed.install, needed.install or "")
    yield Check(
        "it runs, and starts at boot", not needed.restart, "; ".join(filter(None, (needed.restart, found["said"])))
    )
    yield Check(
        "it is provisioned at the hub",
        not needed.provision,
        "; ".join(filter(None, (needed.provision, failure(found)))),
    )
    yield Check("its provisioning key is gone", not found["request"], "provision.json is still there: deploy once more")


def failure(found: Found) -> str:
    """Why provisioning failed, in the agent's own words; empty when it did not."""
    error = found["provisioning"].get("error")
    failed = found["provisioning"].get("phase") == "failed" and isinstance(error, dict)
    return f"{error.get('message')}; {error.get('advice')}" if failed else ""


def _unit(found: Found) -> Iterator[Check]:
    unit = found["unit"]
    lacking = [f"{key} is {unit.get(key)!r}" for key, value in HARDENING.items() if unit.get(key) != value]
    yield Check("its unit is hardened", not lacking, ", ".join(lacking))
    watchdog = unit.get("WatchdogUSec", "0")
    yield Check("its watchdog is on", watchdog not in ("0", "infinity"), f"WatchdogUSec is {watchdog}")


def _files(found: Found) -> Iterator[Check]:
    modes = found["files"]
    wrong = [f"its folder is {modes['.']}, not {FOLDER}"] if modes["."] != FOLDER else []
    wrong += [
        f"{name} is {modes[name]}, not {mode}" for name, mode in OWN_FILES.items() if modes[name] not in (None, mode)
    ]
    yield Check("its files are its own", not wrong, ", ".join(wrong))


def _arrives(wanted: Wanted, age: float | None) -> Check:
    limit = wanted.camera.no_data_minutes * 60
    if age is None:
        return Check(
            "its temperatures arrive", None, "none has arrived yet: see telemetry.source in thermal_config.json"
        )
    return Check("its temperatures arrive", age <= limit, f"the newest is {age:.0f} s old" if age > limit else "")
