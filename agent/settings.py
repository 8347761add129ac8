"""What `run` reads from thermal_config.json: the server, the topics, the source of telemetry, the commands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from agent import config
from agent.errors import InputError
from agent.fields import Fields
from agent.mqtt import Endpoint, Login
from agent.request import CREDENTIAL_TYPES, PLATFORMS
from agent.strictjson import kind

TOPICS: Mapping[str, Mapping[str, str | None]] = {
    "studio": {
        "telemetry": "camera/{id}/telemetry",
        "state": "camera/{id}/state",
        "commands": "camera/{id}/cmd/+",
        "output": "camera/{id}/run/{request}/chunk",
        "result": "camera/{id}/run/{request}/result",
    },
    "thingsboard": {
        "telemetry": "v1/devices/me/telemetry",
        "state": "v1/devices/me/attributes",
        "commands": "v1/devices/me/rpc/request/+",
        "output": None,
        "result": "v1/devices/me/rpc/response/{request}",
    },
}
"""Topics of each platform; `{id}` stands for the device's id, `{request}` for the id of a command's run."""


class Source(NamedTuple):
    """Where telemetry comes from: exactly one of a command's output, a file, the simulator; none: no telemetry."""

    command: tuple[str, ...] | None = None
    file: Path | None = None
    simulator: bool = False


class Command(NamedTuple):
    """A program that the hub may have run; it chooses the name, never the program."""

    argv: tuple[str, ...]
    timeout_seconds: float


class Settings(NamedTuple):
    """A valid thermal_config.json."""

    device: str
    platform: str
    endpoint: Endpoint
    login: Login
    topics: Mapping[str, str | None]
    source: Source
    interval_seconds: float
    most_messages: int
    commands: Mapping[str, Command]


def load(folder: Path) -> Settings:
    """The settings; raises InputError with every fault."""
    stored = config.load(folder)
    if stored is None:
        raise InputError(
            [f"{folder / config.FILE} is missing"],
            "Provision the device (put provision.json and provision.txt there), or write the file by hand",
        )
    return parse(stored.values, folder)


def parse(values: Mapping[str, Any], folder: Path) -> Settings:
    """Check the values of thermal_config.json; keys that the agent does not know are left alone."""
    fields = Fields(config.FILE, values)
    name = fields.text("device_name", '"thermal-camera-4f2a1c"', required=True, limit=60)
    device = fields.text("id", '"annealer-eye"', limit=60) or name
    if device is not None and set("/+#{}") & set(device):
        fields.fault("id" if "id" in values else "device_name", "may not have any of / + # { }", '"annealer-eye"')
    platform = fields.choice("platform", PLATFORMS)
    mqtt = fields.part("mqtt")
    credentials_type = mqtt.choice("credentials_type", CREDENTIAL_TYPES)
    with_certificate = credentials_type == "X509_CERTIFICATE"
    mqtt.flag("allow_plaintext")
    endpoint = mqtt.endpoint(mqtt.server("server", required=True), folder, with_certificate=with_certificate)
    username = mqtt.text("username", '"nT0k3n"', required=not with_certificate)
    login = Login(
        mqtt.text("client_id", '"thermal-camera-4f2a1c"') or name or "", username, mqtt.text("password", '"…"')
    )
    telemetry = fields.part("telemetry")
    buffer = fields.part("buffer")
    settings = Settings(
        device=device or "",
        platform=platform,
        endpoint=endpoint or Endpoint("", 0, tls=False),
        login=login,
        topics=_topics(fields, platform, device or ""),
        source=_source(telemetry, folder),
        interval_seconds=telemetry.number("interval_seconds", 10, 0.1, 3600),
        most_messages=int(buffer.number("most_messages", 50_000, 10, 10_000_000)),
        commands=_commands(fields),
    )
    if fields.problems:
        raise InputError(fields.problems, f"Correct {config.FILE} and start the agent again")
    return settings


def _topics(fields: Fields, platform: str, device: str) -> dict[str, str | None]:
    given = fields.part("topics")
    given.nothing_else(tuple(TOPICS[platform]))
    topics: dict[str, str | None] = {}
    for use, default in TOPICS[platform].items():
        topic = default
        if use in given.values:
            topic = None if given.values[use] is None else given.text(use, f'"{default}"')
        if topic is not None and use != "commands" and set("+#") & set(topic):
            given.fault(use, "may have no + or #: it is published to", f'"{default}"')
        topics[use] = topic.replace("{id}", device) if topic else None
    if topics["telemetry"] is None and not given.problems:
        given.fault("telemetry", "cannot be null: it is where telemetry goes", f'"{TOPICS[platform]["telemetry"]}"')
    return topics


def _source(telemetry: Fields, folder: Path) -> Source:
    source = telemetry.part("source")
    source.nothing_else(("command", "file", "simulator"))
    if len(source.values) > 1:
        telemetry.fault("source", "must be one of command, file and simulator", '{"file": "reading.json"}')
    file = source.text("file", '"reading.json"', limit=4096)
    return Source(
        command=_argv(source, "command") if "command" in source.values else None,
        file=folder / file if file else None,
        simulator=source.flag("simulator"),
    )


def _commands(fields: Fields) -> dict[str, Command]:
    part = fields.part("commands")
    commands = {}
    for name in part.values:
        one = part.part(name)
        one.nothing_else(("argv", "timeout_seconds"))
        commands[name] = Command(_argv(one, "argv"), one.number("timeout_seconds", 60, 1, 3600))
    return commands


def _argv(fields: Fields, key: str) -> tuple[str, ...]:
    value = fields.values.get(key)
    words = value if isinstance(value, list) else []
    if not words or not all(isinstance(w, str) and w and "\0" not in w for w in words):
        fields.fault(key, f"must be a list of words, it is {kind(value)}", '["/usr/bin/thermal-read", "--json"]')
        return ()
    return tuple(words)
