"""What each device of a studio sends and when: a pure schedule of MQTT messages."""

import heapq
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from lab.simulator import physics
from lab.simulator.physics import FurnaceState, Mood
from studio.model import Furnace, Studio

FLAME_HERTZ = 10
JUNK = ("not json", "{", '{"furnace_temp": "hot"}', "[1, 2]", "NaN", '{"furnace_temp": 1e9}')


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message: `at` in seconds since the start, from the device's own account."""

    at: float
    device: str
    topic: str
    payload: str


class StudioSimulation:
    """Every device of one studio; `moods` may be changed while it runs."""

    def __init__(self, studio: Studio, seed: int = 1, speed: float = 1.0) -> None:
        self.studio = studio
        self.moods: dict[str, Mood] = {}
        self._rng = random.Random(seed)  # noqa: S311 - noise, not a secret
        self._speed = speed
        self._furnaces = {f.id: physics.start(f.low_celsius, f.high_celsius) for f in studio.furnaces}

    def messages(self, until: float | None = None) -> Iterator[Message]:
        """Messages in order of time, for ever or until some second after the start."""
        queue: list[tuple[float, int, str, str]] = []
        for number, (its_kind, known) in enumerate(self.studio.devices):
            heapq.heappush(queue, (0.0, number, its_kind, known.id))
            if its_kind == "furnace":
                heapq.heappush(queue, (0.0, number, "flame", known.id))
        intervals = {d.id: d.expected_interval_seconds for _, d in self.studio.devices}
        while queue and (until is None or queue[0][0] <= until):
            at, number, kind, device = heapq.heappop(queue)
            interval = 1 / FLAME_HERTZ if kind == "flame" else intervals[device]
            heapq.heappush(queue, (at + interval, number, kind, device))
            payload = self._payload(kind, device, at, interval)
            if payload is not None:
                topic = getattr(self.studio.topics, kind).replace("{id}", device)
                yield Message(at, device, topic, payload)

    def _payload(self, kind: str, device: str, at: float, interval: float) -> str | None:
        if kind == "camera":
            return json.dumps(physics.camera(at, self._rng))
        if kind == "plant":
            return json.dumps(physics.plant(at, self._rng))
        mood = self.moods.get(device, Mood.NORMAL)
        if mood is Mood.SILENT:
            return None
        state = self._furnaces[device] = self._later(self._furnaces[device], mood, kind, interval)
        if kind == "flame":
            return f"{physics.flame_voltage(state, self._rng):.3f}"
        if mood is Mood.JUNK:
            return self._rng.choice(JUNK)
        return json.dumps({"furnace_temp": self._temperature(device, state), "burner": True})

    def _later(self, state: FurnaceState, mood: Mood, kind: str, interval: float) -> FurnaceState:
        changed = FurnaceState(state.temperature, state.set_point, mood, state.phase)
        return changed if kind == "flame" else physics.step(changed, interval, self._rng, speed=self._speed)

    def _temperature(self, device: str, state: FurnaceState) -> float:
        furnace: Furnace = next(f for f in self.studio.furnaces if f.id == device)
        value = state.temperature if furnace.unit == "C" else physics.fahrenheit(state.temperature)
        return round(value, 2)
