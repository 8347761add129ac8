"""Each service: active, of the right hash and image, started at boot, healthy, and with no right it does not need."""

from studio.verify.expected import Component, Expected
from studio.verify.facts import Facts


def check_unit_is_active(facts: Facts, component: Component) -> None:
    units = facts["user_units"] if component["kind"] == "quadlet" else facts["host_units"]
    unit = units.get(component["unit"], {})
    state = f"{unit.get('ActiveState', 'unknown')} ({unit.get('SubState', '')})"
    assert unit.get("ActiveState") == "active", f"{component['unit']} is {state}"


def check_unit_starts_at_boot(facts: Facts, component: Component) -> None:
    units = facts["user_units"] if component["kind"] == "quadlet" else facts["host_units"]
    wanted = units.get(component["unit"], {}).get("Wanted")
    assert wanted == "True", f"no target wants {component['unit']} at boot"


def check_answers_its_health_url(facts: Facts, with_url: Component) -> None:
    facts.url(f"health {with_url['name']}")


def check_container_is_healthy(facts: Facts, container: Component) -> None:
    health = facts["containers"].get(container["name"], {}).get("health", "no container")
    assert health == "healthy", f"podman says: {health}"


def check_runs_what_the_inventory_gives(facts: Facts, container: Component) -> None:
    found = facts["containers"].get(container["name"], {}).get("labels", {}).get("sensor-pipeline.hash")
    assert found == container["hash"], f"it runs with the inputs {found}, the inventory gives {container['hash']}"


def check_image_is_the_declared_one(facts: Facts, container: Component) -> None:
    found = facts["containers"].get(container["name"], {})
    assert found.get("image") == container["image"], f"it runs {found.get('image')}, declared is {container['image']}"
    assert found["image_is_current"], f"{container['image']} names another image by now: restart the service"


def check_is_rootless_with_its_own_user(facts: Facts, expected: Expected, container: Component) -> None:
    uid = int(_process(facts, container)["Uid"].split()[0])
    inside = int(expected.quadlet(container).get("User", ["0"])[0])
    account = facts["account"]
    first = account["subuid"][0][0]
    wanted = account["uid"] if inside == 0 else first + inside - 1
    assert uid != 0, "it runs as root"
    assert uid == wanted, f"it runs as user id {uid}, {wanted} is right"


def check_gains_no_privileges(facts: Facts, expected: Expected, container: Component) -> None:
    process, quadlet = _process(facts, container), expected.quadlet(container)
    assert quadlet.get("NoNewPrivileges") == ["true"], "its quadlet allows new privileges"
    assert process["NoNewPrivs"] == "1", "the kernel lets it gain privileges"
    assert process["Seccomp"] == "2", "it runs without a system call filter"
    added = [cap for value in quadlet.get("AddCapability", []) for cap in value.split()]
    for kind in ("CapBnd", "CapPrm", "CapEff"):
        count = int(process[kind], 16).bit_count()
        assert count <= len(added), f"{kind} has {count} capabilities, declared are {len(added)}"


def check_root_is_read_only(facts: Facts, expected: Expected, container: Component) -> None:
    declared = expected.quadlet(container).get("ReadOnly") == ["true"]
    found = facts["containers"].get(container["name"], {})
    assert found.get("read_only") == declared, f"read-only root: {found.get('read_only')}, declared: {declared}"
    assert found.get("privileged") is False, "it is privileged"


def _process(facts: Facts, container: Component) -> dict[str, str]:
    process: dict[str, str] = facts["containers"].get(container["name"], {}).get("process", {})
    assert process, "it has no process"
    return process
