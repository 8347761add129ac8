"""The agent at work: provision if asked, then sample, deliver and obey until stopped."""

import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

from agent import VERSION, clock, folder, settings, source, status
from agent.commands import Commands
from agent.errors import AgentError
from agent.link import Link
from agent.logs import Log
from agent.outbox import Outbox
from agent.settings import Settings, Source

STUCK_SECONDS = 90
"""A connection that shows no sign of life for so long is given to the watchdog: systemd starts the agent anew."""


def run(directory: Path, log: Log) -> None:
    """Work until SIGTERM or SIGINT; raises AgentError when there is nothing to work with."""
    with folder.held(directory):
        _provision(directory, log)
        found = settings.load(directory)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        log.info("working", device=found.device, server=str(found.endpoint), version=VERSION)
        work(found, directory, log, stop)
        log.info("stopped")


def _provision(directory: Path, log: Log) -> None:
    asked = status.is_asked(directory)
    if not asked and not status.is_unsettled(directory):
        folder.sweep(directory)
        return
    from agent import provision  # here, because an agent at work is smaller without

    if not asked:
        provision.settle(directory, log)
        return
    try:
        provision.provision(directory, log)
    except AgentError as error:
        try:
            settings.load(directory)
        except AgentError:
            raise error from None
        log.warning("going on with the existing configuration", advice="provisioning is tried again at the next start")


def work(found: Settings, directory: Path, log: Log, stop: threading.Event) -> None:
    """Sample and deliver until `stop` is set."""
    outbox = Outbox(directory, found.most_messages, log)
    commands = Commands(found, outbox, log)
    commands.recover()
    link = Link(found, outbox, commands, log)
    link.thread.start()
    notify("READY=1")
    try:
        due = time.monotonic()
        while not stop.is_set():
            if not link.thread.is_alive():
                raise AgentError("the connection ended unexpectedly", "Start the agent again and report this as a bug")
            if time.monotonic() - link.beat < STUCK_SECONDS:
                notify("WATCHDOG=1")
            if time.monotonic() >= due:
                sample(found, outbox, log)
                # A board that slept does not catch up on readings that were never taken.
                due = max(due + found.interval_seconds, time.monotonic())
            stop.wait(min(max(due - time.monotonic(), 0), 15))
    finally:
        notify("STOPPING=1")
        link.stop(5)
        outbox.close()


def sample(found: Settings, outbox: Outbox, log: Log) -> None:
    """Take one reading into the outbox; a failure is logged, and the next reading is due at its time all the same."""
    topic = found.topics["telemetry"]
    if found.source == Source() or topic is None:
        return
    try:
        reading = source.read(found.source, found.interval_seconds)
        outbox.add(topic, timed(reading, clock.epoch_milliseconds(), found.platform))
    except source.ReadingError as error:
        log.warning("no reading", error=str(error), advice="check telemetry.source in thermal_config.json")
    except AgentError as error:
        log.error("reading lost", error=error.message, advice=error.advice)


def timed(reading: dict[str, float], now: int | None, platform: str) -> dict[str, Any]:
    """The reading with the time at which it was taken, ms since 1970, as the platform takes it."""
    if now is None:
        return reading
    return {"ts": now, "values": reading} if platform == "thingsboard" else {**reading, "ts": now}


def notify(state: str) -> None:
    """Tell systemd, when it asked to be told."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
        try:
            out.connect("\0" + address[1:] if address.startswith("@") else address)
            out.send(state.encode())
        except OSError:
            return
