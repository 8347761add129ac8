"""The account's podman: containers, images, secrets."""

import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from hostctl.errors import HostError
from hostctl.manifest import SECRET_PREFIX, Component
from hostctl.run import Account, Result, run, start

NAMESPACE: Final = ("user namespace", "invalid internal status", "setting up the process")


def call(words: Sequence[str], who: Account, *, stdin: bytes | None = None, file: Path | None = None) -> Result:
    """Run podman to its end.

    A podman that is killed while it makes the account's user namespace, or two that make it at once, can leave a
    process file that no later one can join: it is removed, and podman asked again.
    """
    for _ in range(5):
        result = run(["podman", *words], who=who, stdin=stdin, file=file, timeout=1800)
        if result.code == 0 or not any(sign in result.err for sign in NAMESPACE):
            break
        pause_file(who).unlink(missing_ok=True)
        time.sleep(0.3)
    return result


def pause_file(who: Account) -> Path:
    """Where podman notes the process that holds the account's user namespace."""
    return Path(f"/run/user/{who.uid}/libpod/tmp/pause.pid")


def must_call(words: Sequence[str], doing: str, who: Account, **options: Any) -> Result:
    """Run podman, which has to succeed."""
    result = call(words, who, **options)
    if result.code:
        raise HostError(f"{doing}: podman failed: {result.text}")
    return result


def start_inspect(components: Iterable[Component], who: Account) -> "subprocess.Popen[bytes]":
    return start(["podman", "container", "inspect", *(c.container for c in components)], who)


def start_secret_times(names: Iterable[str], who: Account) -> "subprocess.Popen[bytes]":
    return start(["podman", "secret", "inspect", *(f"{SECRET_PREFIX}{name}" for name in names)], who)


def parse_secret_times(text: str) -> dict[str, tuple[str, float]]:
    """Of each secret that is there: its id, and when it got its value (epoch seconds)."""
    try:
        listed = json.loads(text or "[]")
    except ValueError:
        return {}
    return {s["Spec"]["Name"].removeprefix(SECRET_PREFIX): (s["ID"], epoch(s["CreatedAt"])) for s in listed}


def epoch(timestamp: str) -> float:
    """An RFC 3339 time, with any number of digits after the seconds, as epoch seconds."""
    return datetime.fromisoformat(timestamp).timestamp()


def parse_inspect(text: str) -> dict[str, dict[str, Any]]:
    """What the deploy needs to know of running containers, by component (its label)."""
    try:
        containers = json.loads(text or "[]")
    except ValueError:
        return {}
    found = {}
    for container in containers:
        config, state = container["Config"], container["State"]
        labels = config.get("Labels") or {}
        name = labels.get("sensor-pipeline.component")
        if name and state.get("Running"):
            found[name] = {
                "hash": labels.get("sensor-pipeline.hash", ""),
                "studio": labels.get("sensor-pipeline.studio", ""),
                "secrets": {
                    s["Name"].removeprefix(SECRET_PREFIX): s["ID"] for s in config.get("Secrets") or [] if s.get("Name")
                },
                "health": (state.get("Health") or {}).get("Status", ""),
                "image": container.get("ImageName", ""),
                "pid": state.get("Pid", 0),
                "created": epoch(container["Created"]),
            }
    return found


def parse_secrets(text: str) -> dict[str, str]:
    """The ids of this product's secrets, by name."""
    pairs = (line.split(" ", 1) for line in text.splitlines() if " " in line)
    return {name.removeprefix(SECRET_PREFIX): key for key, name in pairs if name.startswith(SECRET_PREFIX)}


def secrets(who: Account) -> dict[str, str]:
    words = ["secret", "ls", "--noheading", "--format", "{{.ID}} {{.Name}}"]
    return parse_secrets(must_call(words, "could not list the secrets", who).out)


def put_secret(name: str, value: bytes, who: Account) -> str:
    """Store a secret (its value goes through stdin); returns its new id."""
    words = ["secret", "create", "--replace", f"{SECRET_PREFIX}{name}", "-"]
    return must_call(words, f"could not store the secret {name}", who, stdin=value).out.strip()


def get_secrets(names: list[str], who: Account) -> dict[str, bytes]:
    """The values of those of the named secrets that are there."""
    if not names:
        return {}
    result = call(["secret", "inspect", "--showsecret", *(f"{SECRET_PREFIX}{name}" for name in names)], who)
    try:
        listed = json.loads(result.out or "[]")
    except ValueError as error:
        raise HostError(f"podman could not read its secrets: {result.err.strip()}") from error
    return {s["Spec"]["Name"].removeprefix(SECRET_PREFIX): s["SecretData"].encode() for s in listed}


def has_image(reference: str, who: Account) -> bool:
    return call(["image", "exists", reference], who).code == 0


def load_image(archive: Path, reference: str, who: Account) -> None:
    """Load an image from an archive (read by root, so it need not be the account's)."""
    doing = f"could not load {reference} from {archive}"
    loaded = must_call(["load", "--quiet"], doing, who, file=archive)
    if not has_image(reference, who):
        said = loaded.out.strip()
        raise HostError(f"{archive} has another image than {reference}: {said}")


def pull_image(reference: str, who: Account) -> None:
    must_call(["pull", "--quiet", reference], f"could not pull {reference}", who)


def build_image(context: Path, reference: str, base: str, who: Account) -> None:
    """Build an image from the Containerfile of a folder."""
    words = ["build", "--quiet", "--pull=never", "--network=host", f"--build-arg=BASE={base}", f"--tag={reference}"]
    must_call([*words, str(context)], f"could not build {reference}", who)


def images(repositories: Iterable[str], who: Account) -> list[str]:
    """The account's images of some repositories, with their tags."""
    found: list[str] = []
    for repository in sorted(repositories):
        words = ["images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={repository}"]
        found += must_call(words, "could not list the images", who).out.split()
    return found


def remove_image(reference: str, who: Account) -> None:
    """Remove an image's name, and what only it needs; one that a container still runs from stays."""
    call(["rmi", reference], who)
