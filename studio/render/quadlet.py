"""Quadlets: a component's container as unit files that podman 5.4's generator turns into services.

Every container is rootless, has no capability and no way to new privileges, sees its own configuration read-only
through `current/`, and counts as started only when its health check passes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from studio.paths import HOST_CURRENT
from studio.render.escape import unit_value, unit_word

SECRET_PREFIX: Final = "sensor-pipeline-"  # noqa: S105 - the beginning of a name
HEALTH_SECONDS: Final = 20
HEALTH_RETRIES: Final = 3
RESTART_SECONDS: Final = 2


@dataclass(frozen=True, slots=True)
class Secret:
    """A podman secret: a file /run/secrets/<name>, or, where `variable` is given, a variable of the environment."""

    name: str
    uid: int = 0
    variable: str | None = None


@dataclass(frozen=True, slots=True)
class Container:
    """What is special about one component's container; `mounts` and `writable` are folders of the host."""

    name: str
    title: str
    image: str
    config: str
    health: str
    memory: str
    start_timeout: int
    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    user: int | None = None
    read_only: bool = True
    tmpfs: tuple[str, ...] = ()
    volumes: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    writable: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Secret, ...] = ()
    after: tuple[str, ...] = ()
    stop_seconds: int = 10


def http_health(port: int, path: str = "/health") -> str:
    """A health command that every image can run: its busybox has wget."""
    return f"wget -q -T 4 -O /dev/null http://127.0.0.1:{port}{path}"


def _secret(secret: Secret) -> str:
    if secret.variable:
        return f"{SECRET_PREFIX}{secret.name},type=env,target={secret.variable}"
    return f"{SECRET_PREFIX}{secret.name},type=mount,target={secret.name},mode=0400,uid={secret.uid},gid={secret.uid}"


def container_unit(c: Container, studio: str, *, hash_of: str) -> str:
    """The text of `<name>.container`; `hash_of` names the inputs it is started with."""
    services = [f"{name}.service" for name in c.after]
    unit = [
        ("Description", unit_value(f"{c.title} of the sensor pipeline")),
        *((key, " ".join(services)) for key in ("After", "Wants") if services),
        # monit and systemd keep trying for ever: a studio has nobody to type reset-failed.
        ("StartLimitIntervalSec", "0"),
    ]
    container = [
        ("ContainerName", c.name),
        ("Image", c.image),
        ("Pull", "never"),
        *((("Entrypoint", c.entrypoint),) if c.entrypoint else ()),
        *((("Exec", " ".join(unit_word(word) for word in c.command)),) if c.command else ()),
        ("Label", f"sensor-pipeline.studio={studio}"),
        ("Label", f"sensor-pipeline.component={c.name}"),
        ("Label", f"sensor-pipeline.hash={hash_of}"),
        *((("User", f"{c.user}"),) if c.user is not None else ()),
        ("NoNewPrivileges", "true"),
        ("DropCapability", "all"),
        *((("ReadOnly", "true"),) if c.read_only else ()),
        *(("Tmpfs", path) for path in c.tmpfs),
        ("Network", "host"),
        ("LogDriver", "journald"),
        ("Volume", f"{HOST_CURRENT / c.name}:{c.config}:ro"),
        *(("Volume", f"{source}:{target}:ro") for source, target in c.mounts.items()),
        *(("Volume", f"{source}:{target}") for source, target in c.writable.items()),
        *(("Volume", f"{name}.volume:{target}") for name, target in c.volumes.items()),
        *(("Secret", _secret(secret)) for secret in c.secrets),
        *(("Environment", unit_word(f"{key}={value}")) for key, value in c.environment.items()),
        ("HealthCmd", c.health),
        ("HealthInterval", f"{HEALTH_SECONDS}s"),
        ("HealthTimeout", "5s"),
        ("HealthRetries", f"{HEALTH_RETRIES}"),
        ("HealthStartupCmd", c.health),
        ("HealthStartupInterval", "1s"),
        ("HealthStartupTimeout", "5s"),
        ("HealthOnFailure", "kill"),
        ("Notify", "healthy"),
        ("StopTimeout", f"{c.stop_seconds}"),
    ]
    service = [
        ("Restart", "always"),
        ("RestartSec", f"{RESTART_SECONDS}"),
        ("TimeoutStartSec", f"{c.start_timeout}"),
        ("TimeoutStopSec", f"{c.stop_seconds + 15}"),
        ("MemoryMax", c.memory),
    ]
    sections = {
        "Unit": unit,
        "Container": container,
        "Service": service,
        # The default would wait for a network that a studio may not have, up to two minutes.
        "Quadlet": [("DefaultDependencies", "false")],
        "Install": [("WantedBy", "default.target")],
    }
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in lines) for name, lines in sections.items()
    )


def units(c: Container, studio: str, *, hash_of: str) -> dict[str, str]:
    """The files of a component in `quadlets/`: its container and its volumes."""
    volumes = {
        f"{name}.volume": f"[Volume]\nVolumeName={name}\nLabel=sensor-pipeline.studio={studio}\n"
        f"Label=sensor-pipeline.component={c.name}\n\n[Quadlet]\nDefaultDependencies=false\n"
        for name in c.volumes
    }
    return {f"{c.name}.container": container_unit(c, studio, hash_of=hash_of), **volumes}
