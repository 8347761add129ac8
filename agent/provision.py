"""Provisioning, from the marker `provision.txt` to the marker renamed: every step may be the last, or be repeated."""

import contextlib
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent import config, durable, folder, identity, journal, status
from agent.credentials import Credentials
from agent.errors import AgentError, RefusedError, UnreachableError
from agent.handshake import Answer, NoAnswerError, ask
from agent.journal import Journal
from agent.logs import Log
from agent.mqtt import session
from agent.request import ProvisionRequest, read_request

MOST_NAMES = 3
"""Names that are tried before giving up, when the agent makes them itself."""


@dataclass(frozen=True)
class Pace:
    """How long things may take, s. `retries`: before each further try after a network failure, plus at most a tenth,
    so that a thousand devices do not march in step. `patience`: before asking again whether fresh credentials work,
    because a broker learns of them a moment after the provisioning server.
    """

    retries: tuple[float, ...] = (1, 2, 4)
    patience: tuple[float, ...] = (0.5, 1, 2, 3)
    step: float = 5
    sleep: Callable[[float], None] = time.sleep
    chance: Callable[[], float] = random.random

    def wait(self, seconds: float) -> None:
        self.sleep(seconds * (1 + 0.1 * self.chance()))


def is_asked(directory: Path) -> bool:
    return (directory / status.MARKER).exists()


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
        told = {"kind": error.kind, "message": error.message, "advice": error.advice, "exit_code": error.exit_code}
        run.status.set("failed", error=told, duration_ms=round((time.monotonic() - begun) * 1000))
        log.error("provisioning failed", **told)
        error.logged = True
        raise
    duration = round((time.monotonic() - begun) * 1000)
    run.status.set("completed", device=name, duration_ms=duration)
    log.info("provisioning completed", device=name, duration_ms=duration, config="updated")
    return name


class _NameTaken(Exception):
    """The name belongs to another device, and the agent may choose another one."""


class Provisioning:
    """One attempt. The order of the steps is what makes it safe: journal, server, proof, backup, replace, marker."""

    def __init__(self, directory: Path, attempt: str, log: Log, pace: Pace, serial: str | None) -> None:
        self.directory = directory
        self.attempt = attempt
        self.log = log
        self.pace = pace
        self.serial = serial
        self.status = status.StatusFile(directory, attempt, log)

    def whole(self) -> str:
        with self._step("validate"):
            request = read_request(self.directory)
        with self._step("check the disk"):
            folder.sweep(self.directory)
            config.check_replaceable(self.directory, config.load(self.directory))
        with self._step("journal"):
            noted, resumed = self._journal(request)
        with self._step("register"):
            noted = self._register(request, noted, resumed=resumed)
        with self._step("try the credentials"):
            self._prove(request, noted.credentials)
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
        with self._step("rename the marker"):
            durable.rename(self.directory / status.MARKER, self.directory / status.PROCESSED)
        _forget_journal(self.directory, self.log)

    def _journal(self, request: ProvisionRequest) -> tuple[Journal, bool]:
        before = journal.read(self.directory)
        if before is not None and before.purpose == journal.purpose_of(request):
            self.log.info("an earlier attempt is continued", device=before.name)
            return before, True
        if before is not None:
            self.log.warning("the earlier attempt was for another server or name", device=before.name)
        fresh = journal.begin(request, self.serial)
        journal.write(self.directory, fresh)
        return fresh, False

    def _register(self, request: ProvisionRequest, noted: Journal, *, resumed: bool) -> Journal:
        """Make the server know the journaled device; the journal of the name that it knows it by."""
        if resumed and self._adopted_quietly(request, noted.credentials):
            return noted
        waits = list(self.pace.retries)
        while True:
            try:
                return self._asked(request, noted)
            except _NameTaken:
                noted = journal.next_name(noted, request)
                journal.write(self.directory, noted)
            except UnreachableError as error:
                if isinstance(error, NoAnswerError) and self._adopted_quietly(request, noted.credentials):
                    return noted
                if not waits:
                    raise
                self._retry(error, waits.pop(0), len(self.pace.retries) - len(waits))

    def _asked(self, request: ProvisionRequest, noted: Journal) -> Journal:
        answer, told = ask(request, noted.credentials, self.attempt, self.log, self.pace.step)
        self.log.info("answer", status=answer.value, message=told, device=noted.name)
        # The server's no is not the last word: an earlier request of ours may be why the name is taken.
        patience = self.pace.patience if answer is Answer.FAILURE else ()
        if answer is Answer.SUCCESS or self._adopted(request, noted.credentials, patience):
            return noted
        if answer is Answer.BUSY:
            raise UnreachableError(
                f"{request.server} cannot provision now: {told}", "Wait, or look at the server's log"
            )
        if answer is Answer.FAILURE and request.makes_names and noted.number + 1 < MOST_NAMES:
            self.log.warning("the name is taken, another one is tried", device=noted.name, message=told)
            raise _NameTaken
        raise _refusal(request, noted, answer, told)

    def _retry(self, error: UnreachableError, seconds: float, number: int) -> None:
        self.log.warning(
            "network failure, trying again", retry=number, seconds=seconds, error=error.message, advice=error.advice
        )
        self.status.set("in-progress", retries=number, last_failure=error.message)
        self.pace.wait(seconds)

    def _adopted(self, request: ProvisionRequest, chosen: Credentials, patience: tuple[float, ...]) -> bool:
        """Whether the device server knows the journaled credentials: then the device is ours already.

        Raises UnreachableError: not knowing is not a no, and must never lead to a second device.
        """
        try:
            self._connect(request, chosen, patience)
        except RefusedError as error:
            self.log.info("not adopted", device=chosen.name, reason=error.message)
            return False
        self.log.info("adopted", device=chosen.name)
        return True

    def _adopted_quietly(self, request: ProvisionRequest, chosen: Credentials) -> bool:
        """The same where asking the server (again) is the right thing to do when nobody can be reached."""
        try:
            return self._adopted(request, chosen, ())
        except UnreachableError as error:
            self.log.info("not adopted", device=chosen.name, reason=error.message)
            return False

    def _prove(self, request: ProvisionRequest, chosen: Credentials) -> None:
        """Connect as the new device; nothing is replaced by credentials that do not work."""
        waits = list(self.pace.retries)
        while True:
            try:
                self._connect(request, chosen, self.pace.patience)
                return
            except UnreachableError as error:
                if not waits:
                    raise
                self._retry(error, waits.pop(0), len(self.pace.retries) - len(waits))
            except RefusedError as error:
                raise RefusedError(
                    f"{error.message}: {chosen.name} was registered, but its credentials are not accepted",
                    "Check on the server that the device is active; the next start tries the same credentials again",
                ) from error

    def _connect(self, request: ProvisionRequest, chosen: Credentials, patience: tuple[float, ...]) -> None:
        for wait in (*patience, None):
            try:
                with session(request.device_server, chosen.login, self.pace.step):
                    return
            except RefusedError:
                if wait is None:
                    raise
                self.pace.wait(wait)

    def _step(self, name: str) -> contextlib.AbstractContextManager[None]:
        self.status.set("in-progress", step=name)
        return self.log.step(name)


def _refusal(request: ProvisionRequest, noted: Journal, answer: Answer, told: str) -> RefusedError:
    if answer is Answer.NOT_FOUND:
        return RefusedError(
            f"{request.server} refused the provisioning key: {told}",
            'Check "provision_device_key" and "provision_device_secret" in provision.json, and that provisioning is '
            "enabled on the server",
        )
    if answer is Answer.BAD_REQUEST:
        return RefusedError(
            f"{request.server} would not make the device {noted.name}: {told}",
            "Correct provision.json as the server says",
        )
    return RefusedError(
        f"{request.server} would not make the device {noted.name}: {told}",
        f"The name {noted.name} is probably taken by another device: delete that one on the server, or set another "
        '"device_name" in provision.json',
    )


def settle(directory: Path, log: Log) -> None:
    """Without a marker: tidy up after a provisioning that was finished but for its very last steps."""
    folder.sweep(directory)
    left = journal.read(directory)
    stored = config.load(directory) if left is not None else None
    finished = left is not None and stored is not None and stored.values.get("device_name") == left.name
    phase = status.read(directory).get("phase")
    unnoted = left is None and phase == "in-progress" and (directory / status.PROCESSED).exists()
    if (finished and phase != "completed") or unnoted:
        status.close(directory, log)
    if finished:
        _forget_journal(directory, log)


def _forget_journal(directory: Path, log: Log) -> None:
    # By now nothing depends on it: a failure here must not make a finished provisioning look like a failed one.
    try:
        durable.remove(directory / journal.FILE)
    except AgentError as error:
        log.warning("journal not removed", error=error.message, advice=error.advice)
