"""Provisioning, from the marker `provision.txt` to the marker renamed: every step may be the last, or be repeated."""

import contextlib
import secrets
import time
from pathlib import Path

from agent import config, durable, folder, identity, journal, status
from agent.credentials import foreseen
from agent.errors import AgentError
from agent.journal import Journal
from agent.logs import Log
from agent.registration import Pace, Registration
from agent.request import ProvisionRequest, read_request

__all__ = ["Pace", "Provisioning", "new_attempt", "provision", "settle"]


def new_attempt() -> str:
    return secrets.token_hex(6)


def provision(directory: Path, log: Log, pace: Pace | None = None, serial: str | None = None) -> str:
    """Provision this device; the caller holds the folder. Gives the device's name.

    Raises AgentError; thermal_config.json is then as it was, and the next call goes on where this one stopped.
    """
    attempt = new_attempt()
    log = log.bind(attempt=attempt)
    run = Provisioning(directory, attempt, log, pace or Pace(), serial or identity.serial_number())
    begun = time.monotonic()
    run.status.set("in-progress", step="validate")
    log.info("provisioning started", folder=str(directory))
    try:
        name = run.whole()
    except AgentError as error:
        run.status.set("failed", error=error.told, duration_ms=round((time.monotonic() - begun) * 1000))
        log.error("provisioning failed", **error.told)
        error.logged = True
        raise
    duration = round((time.monotonic() - begun) * 1000)
    run.status.set("completed", device=name, duration_ms=duration)
    log.info("provisioning completed", device=name, duration_ms=duration, config="updated")
    return name


class Provisioning:
    """One attempt. The order of the steps is what makes it safe: journal, server, proof, backup, replace, marker."""

    def __init__(self, directory: Path, attempt: str, log: Log, pace: Pace, serial: str | None) -> None:
        self.directory = directory
        self.attempt = attempt
        self.log = log
        self.serial = serial
        self.status = status.StatusFile(directory, attempt, log)
        self._registration = Registration(directory, attempt, log, pace, self.status)

    def whole(self) -> str:
        with self._step("validate"):
            request = read_request(self.directory)
        with self._step("check the disk"):
            folder.sweep(self.directory)
            stored = config.load(self.directory)
            config.check_replaceable(self.directory, stored)
            if stored is not None:
                new = config.merged(stored.values, request.name, request.platform, foreseen(request))
                config.check_readable(self.directory, new)
        with self._step("journal"):
            noted, resumed = self._journal(request)
        with self._step("register"):
            noted = self._registration.register(request, noted, resumed=resumed)
        with self._step("try the credentials"):
            self._registration.prove(request, noted.credentials)
        self.finish(request, noted)
        return noted.name

    def finish(self, request: ProvisionRequest, noted: Journal) -> None:
        """All that follows is on this disk. The marker goes last: until then the next start comes here again."""
        stored = config.load(self.directory)
        settings = noted.credentials.settings(request.device_server, request)
        values = config.merged(stored.values if stored else {}, noted.name, request.platform, settings)
        if stored is None or stored.values != values:
            if stored is not None:
                with self._step("back up"):
                    config.back_up(self.directory, stored)
            with self._step("replace the configuration"):
                config.install(self.directory, stored, values)
            if stored is not None and stored.mode & 0o077:
                path = self.directory / config.FILE
                self.log.warning("others can read the credentials", path=str(path), advice=f"chmod 600 {path}")
        with self._step(status.LAST_STEP):
            if status.is_asked(self.directory):
                durable.rename(self.directory / status.MARKER, self.directory / status.PROCESSED)
            else:
                self.log.warning("the marker was taken away meanwhile", advice="Nothing is left to be done")
        _put_away(self.directory, noted, self.log)

    def _journal(self, request: ProvisionRequest) -> tuple[Journal, bool]:
        before, purpose = journal.read(self.directory), journal.purpose_of(request)
        # Of other hardware, a name that the agent makes is not its own: the card was copied.
        own = before is not None and (self.serial in (None, before.serial) or not request.makes_names)
        if before is not None and own and before.purpose == purpose:
            self.log.info("an earlier attempt is continued", device=before.name)
            return before, True
        if before is not None:
            self.log.warning("the earlier attempt was for another server, name or hardware", device=before.name)
            journal.remember(self.directory, before)
        known = journal.remembered(self.directory)
        for one in known:
            # Not on other hardware: a card that was copied must not become the device of the first.
            if one.purpose == purpose and self.serial in (None, one.serial):
                self.log.info("a device of before is there", device=one.name)
                journal.write(self.directory, one)
                return one, True
        fresh = journal.begin(request, self.serial or (known[0].serial if known else None))
        journal.write(self.directory, fresh)
        return fresh, False

    def _step(self, name: str) -> contextlib.AbstractContextManager[None]:
        self.status.set("in-progress", step=name)
        return self.log.step(name)


def settle(directory: Path, log: Log) -> None:
    """Without a marker: tidy up after an attempt that was finished but for its last steps, or is not wanted now."""
    folder.sweep(directory)
    left = journal.read(directory)
    stored = config.load(directory) if left is not None else None
    finished = left is not None and stored is not None and journal.is_in(left, stored.values)
    told = status.read(directory)
    phase, last = told.get("phase"), told.get("step") == status.LAST_STEP
    if phase == "in-progress" or (finished and phase != "completed"):
        status.close(directory, log, completed=finished or (left is None and last))
    if left is not None:
        _put_away(directory, left, log, finished=finished)


def _put_away(directory: Path, noted: Journal, log: Log, *, finished: bool = True) -> None:
    # By now nothing depends on it: a failure here must not make a finished provisioning look like a failed one.
    try:
        journal.remember(directory, noted._replace(finished=finished))
        durable.remove(directory / journal.FILE)
    except AgentError as error:
        log.warning("journal not put away", error=error.message, advice=error.advice)
