"""The connection to the broker, for ever: what waits in the outbox goes out in order, commands come in."""

import json
import os
import threading
import time

from agent import VERSION, clock
from agent.commands import Commands
from agent.errors import AgentError
from agent.logs import Log
from agent.mqtt import Session, session
from agent.outbox import Outbox
from agent.settings import Settings

WINDOW = 20
"""Messages under way at once; a broker that goes away costs at most that many duplicates, never an order."""
STEP_SECONDS = 10
LONGEST_WAIT = 60.0


class Link:
    """Runs in a thread of its own. `beat` is the monotonic time at which it last showed that it is alive."""

    def __init__(self, settings: Settings, outbox: Outbox, commands: Commands, log: Log) -> None:
        self._settings = settings
        self._outbox = outbox
        self._commands = commands
        self._log = log
        self._stop = threading.Event()
        self._was_up = False
        self.beat = time.monotonic()
        self.thread = threading.Thread(target=self._run, name="link", daemon=True)

    def stop(self, seconds: float) -> None:
        self._stop.set()
        self.thread.join(seconds)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self.beat = time.monotonic()
            self._was_up = False
            try:
                self._connected()
            except AgentError as error:
                failures = 1 if self._was_up else failures + 1
                # Between a half and all of it, so that a thousand devices do not come back in step.
                wait = min(LONGEST_WAIT, 2 ** min(failures - 1, 6)) * (0.5 + os.urandom(1)[0] / 510)
                self._log.warning(
                    "not connected", error=error.message, advice=error.advice, next_try_seconds=round(wait, 1)
                )
                self._stop.wait(wait)

    def _state(self, state: str, *, will: bool = False) -> bytes:
        """A last will is written when the connection begins and sent when it is lost, so it tells no time."""
        told: dict[str, object] = {"state": state, "version": VERSION}
        if not will:
            told["ts"] = clock.epoch_milliseconds()
        if state == "online":
            told |= {"waiting": self._outbox.waiting, "dropped": self._outbox.dropped}
        return json.dumps({key: value for key, value in told.items() if value is not None}).encode()

    def _connected(self) -> None:
        """One connection, until it ends; raises AgentError."""
        topics, endpoint = self._settings.topics, self._settings.endpoint
        will = (topics["state"], self._state("offline", will=True)) if topics["state"] else None
        # Each connection has a client of its own and a clean session: the outbox alone knows what is still to be said,
        # so nothing is sent twice by two memories, and no command is run that was meant for an hour ago.
        with session(endpoint, self._settings.login, STEP_SECONDS, will=will, keepalive=30) as opened:
            self._was_up = True
            self._log.info(
                "connected", server=str(endpoint), waiting=self._outbox.waiting, dropped=self._outbox.dropped
            )
            if topics["state"]:
                opened.publish(topics["state"], self._state("online"), retain=True)
            if topics["commands"]:
                opened.subscribe(topics["commands"], STEP_SECONDS)
            flight = self._deliver(opened)
            if topics["state"]:
                last = opened.publish(topics["state"], self._state("offline"), retain=True)
                opened.finish(last, 2)
                self._forget(opened, flight)

    def _deliver(self, opened: Session) -> dict[int, int]:
        """Until the agent is stopped; then what is under way still: number in the outbox by number of the packet."""
        flight: dict[int, int] = {}
        last = 0
        while not self._stop.is_set():
            self.beat = time.monotonic()
            if len(flight) < WINDOW:
                for number, topic, payload in self._outbox.after(last, WINDOW - len(flight)):
                    flight[opened.publish(topic, payload.encode())] = last = number
            try:
                opened.turn(0.2)
            finally:
                # Also what came last before the connection was lost: to the broker it is delivered.
                self._forget(opened, flight)
                self._obey(opened)
        return flight

    def _forget(self, opened: Session, flight: dict[int, int]) -> None:
        if acknowledged := opened.acknowledged():
            self._outbox.done([flight.pop(m) for m in acknowledged if m in flight])

    def _obey(self, opened: Session) -> None:
        for message in opened.waiting():
            if message.retain:
                # A retained command would be run again at every connection.
                self._log.warning("command refused", topic=message.topic[-80:], reason="it is retained")
            else:
                self._commands.take(message.topic, bytes(message.payload))
