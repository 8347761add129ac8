"""Checks of the data's way, for monit: one line each, exit code 0 or 1."""

import json
import time
import urllib.parse
import urllib.request
from typing import Any, Final

from hostctl import manifest
from hostctl.errors import HostError
from hostctl.manifest import Manifest
from hostctl.paths import Paths

ARRIVAL_SECONDS: Final = 4.0
"""From the broker to a query that finds it, on a host at rest: batches wait a second twice."""
CANARY_SECONDS: Final = 60.0
NO_CURE: Final = 3
CONNECT_SECONDS: Final = 2.5
SERIES: Final = "pipeline_canary_sent_seconds"


def _port(wanted: Manifest, component: str, purpose: str | None = None) -> int:
    for listener in wanted.component(component).listens:
        if purpose is None or listener["purpose"] == purpose:
            return int(listener["port"])
    raise HostError(f"{component} listens on no port for {purpose}")


def newest(wanted: Manifest, selector: str, seconds: float) -> tuple[float, float] | None:
    """The newest sample (value, epoch seconds) of a series in the last `seconds`, straight from storage; or None."""
    base = f"http://127.0.0.1:{_port(wanted, 'victoriametrics')}/api/v1/export"
    query = urllib.parse.urlencode({"match[]": selector, "start": f"{time.time() - seconds:.3f}"})
    try:
        with urllib.request.urlopen(f"{base}?{query}", timeout=5) as answer:  # noqa: S310 - loopback
            rows = [json.loads(line) for line in answer.read().splitlines()]
    except OSError as error:
        raise HostError(f"VictoriaMetrics does not answer: {error}") from error
    samples = [(v, t / 1000) for row in rows for v, t in zip(row["values"], row["timestamps"], strict=True)]
    return max(samples, key=lambda s: s[1], default=None)


def publish(wanted: Manifest, password: str, topic: str, payload: str) -> None:
    """Send one message with the account `monit` and wait until the broker has taken it."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    refused: list[str] = []

    def connected(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any = None) -> None:
        if code.is_failure:
            refused.append(str(code))

    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"monit-{wanted.studio}")
    client.username_pw_set("monit", password)
    client.on_connect = connected
    port = _port(wanted, wanted.broker, "mqtt")
    try:
        client.connect("127.0.0.1", port, keepalive=20)
    except OSError as error:
        raise HostError(f"broker: no connection to {wanted.broker} on port {port}: {error}") from error
    client.loop_start()
    try:
        info = client.publish(topic, payload, qos=1)
        until = time.monotonic() + CONNECT_SECONDS
        while not info.is_published() and not refused and time.monotonic() < until:
            time.sleep(0.02)
        if refused:
            raise HostError(f"broker: {wanted.broker} refuses the account monit: {refused[0]}")
        if not info.is_published():
            raise HostError(f"broker: {wanted.broker} did not acknowledge the canary within {CONNECT_SECONDS:g} s")
    finally:
        client.disconnect()
        client.loop_stop()


def _healthy(wanted: Manifest, component: str) -> bool:
    url = wanted.component(component).health_url
    try:
        with urllib.request.urlopen(url or "", timeout=3) as answer:  # noqa: S310 - loopback
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _received(wanted: Manifest) -> float | None:
    """Messages that Vector has taken from the broker since it started; None when it does not tell."""
    url = f"http://127.0.0.1:{_port(wanted, 'vector', 'metrics')}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return None
    name = "vector_component_received_events_total{"
    ours = [line for line in lines if line.startswith(name) and 'component_id="broker"' in line]
    return sum(float(line.rpartition("}")[2].split()[0]) for line in ours)


def canary(paths: Paths) -> str:
    """Send a message through broker, Vector and VictoriaMetrics; one of the last minute must have arrived.

    Raises:
        HostError: none did. The message names the leg: `broker:`, `vector:` or `victoriametrics:`. The exit code is 1
            when restarting Vector is the cure, 3 when it is not (Vector still receives, or another part is at fault;
            or it did not answer to begin with: it is down or starting, which its own checks see to).
    """
    wanted = manifest.current(paths)
    try:
        password = (paths.secrets / "broker-monit").read_text().strip()
    except OSError as error:
        raise HostError(
            f"broker: the password of the account monit cannot be read: {error.strerror}", NO_CURE
        ) from error
    answered, before = _healthy(wanted, "vector"), _received(wanted)
    try:
        publish(wanted, password, str(wanted.facts["canary_topic"]), json.dumps({"sent": int(time.time() * 1000)}))
    except HostError as error:
        raise HostError(str(error), NO_CURE) from error
    time.sleep(ARRIVAL_SECONDS)
    selector = f'{SERIES}{{studio="{wanted.studio}"}}'
    try:
        found = newest(wanted, selector, 3600)
    except HostError as error:
        raise HostError(f"victoriametrics: {error}", NO_CURE) from error
    age = None if found is None else time.time() - found[0]
    if age is not None and age <= CANARY_SECONDS:
        return f"the newest canary is {age:.0f} s old"
    late = "no canary has arrived in the last hour" if age is None else f"the newest canary is {age:.0f} s old"
    if not _healthy(wanted, "victoriametrics"):
        raise HostError(f"victoriametrics: not healthy; {late}", NO_CURE)
    if not answered:
        raise HostError(f"vector: not healthy; {late}", NO_CURE)
    after = _received(wanted)
    if before is not None and after is not None and after > before:
        raise HostError(f"vector: receives but has not caught up; {late}", NO_CURE)
    raise HostError(f"vector: receives nothing; {late}")


def furnace(paths: Paths, name: str) -> str:
    """Whether a furnace's newest temperature is younger than its limit."""
    wanted = manifest.current(paths)
    furnaces = {f["id"]: f for f in wanted.facts["furnaces"]}
    if name not in furnaces:
        raise HostError(f"{wanted.studio} has no furnace {name!r}; it has: {', '.join(furnaces)}", 2)
    told = furnaces[name]
    if told.get("off"):
        return f"{name} is switched off"
    limit = told["no_data_minutes"] * 60
    found = newest(wanted, f'furnace_furnace_temp{{studio="{wanted.studio}",furnace="{name}"}}', limit)
    if found is None:
        raise HostError(f"{name}: no temperature for {told['no_data_minutes']} min")
    return f"{name}: {found[0]:.1f} °C, {max(0.0, time.time() - found[1]):.0f} s ago"
