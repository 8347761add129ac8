"""Make the server know the journaled device, and prove that its credentials work; network failures are tried again."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agent import identity, journal
from agent.credentials import Credentials
from agent.errors import RefusedError, UnreachableError
from agent.handshake import Answer, NoAnswerError, ask
from agent.journal import Journal
from agent.logs import Log
from agent.mqtt import session
from agent.request import ProvisionRequest
from agent.status import StatusFile

MOST_NAMES = 3
"""Names that are tried before giving up, when the agent makes them itself."""


class Pace(NamedTuple):
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


class _NameTaken(Exception):
    """The name belongs to another device, and the agent may choose another one."""


class Registration:
    """The part of an attempt that talks to servers. Not reaching one is never a no."""

    def __init__(self, directory: Path, attempt: str, log: Log, pace: Pace, status: StatusFile) -> None:
        self.directory = directory
        self.attempt = attempt
        self.log = log
        self.pace = pace
        self.status = status

    def register(self, request: ProvisionRequest, noted: Journal, *, resumed: bool) -> Journal:
        """Make the server know the journaled device; the journal of the name that it knows it by."""
        if resumed and not noted.finished and self._adopted_quietly(request, noted.credentials):
            return noted
        waits = list(self.pace.retries)
        while True:
            try:
                if noted.finished:
                    known = self._known(request, noted.credentials, self.pace.patience)
                    if known:
                        return noted
                    noted = self._taken_up(noted, ended=known is False)
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

    def _taken_up(self, noted: Journal, *, ended: bool) -> Journal:
        """The journal of a device of before, to ask for it again: under a new token when its own was ended."""
        if ended:
            self.log.warning(
                "the device of before is not accepted any more, a new token is asked for", device=noted.name
            )
        noted = journal.renewed(noted) if ended else noted._replace(finished=False)
        journal.write(self.directory, noted)
        return noted

    def _asked(self, request: ProvisionRequest, noted: Journal) -> Journal:
        answer, told = ask(request, noted.credentials, self.attempt, self.log, self.pace.step)
        self.log.info("answer", status=answer.value, message=told, device=noted.name)
        if answer is Answer.SUCCESS:
            return noted
        # The server's no is not the last word: an earlier request of ours may be why the name is taken.
        if answer is Answer.FAILURE:
            ours = self._adopted(request, noted.credentials, self.pace.patience)
        else:
            ours = self._adopted_quietly(request, noted.credentials)
        if ours:
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
        return self._known(request, chosen, patience) is True

    def _known(self, request: ProvisionRequest, chosen: Credentials, patience: tuple[float, ...]) -> bool | None:
        """Whether the device server knows the journaled credentials: then the device is ours already.

        None: it lets anybody in, so that only the provisioning server can tell. Raises UnreachableError: not knowing
        is not a no, and must never lead to a second device.
        """
        try:
            self._connect(request, chosen, patience)
        except RefusedError as error:
            self.log.info("not adopted", device=chosen.name, reason=error.message)
            return False
        if self._lets_anybody_in(request, chosen):
            reason = f"{request.device_server} lets anybody in, so that a login proves nothing"
            self.log.warning("not adopted", device=chosen.name, reason=reason)
            return None
        self.log.info("adopted", device=chosen.name)
        return True

    def _lets_anybody_in(self, request: ProvisionRequest, chosen: Credentials) -> bool:
        """Whether a login that was never given to anybody is accepted too; not asked where certificates rule."""
        if chosen.type == "X509_CERTIFICATE":
            return False
        nobody = Credentials(chosen.type, f"nobody-{identity.new_token()}", identity.new_token())
        try:
            with session(request.device_server, nobody.login, self.pace.step):
                return True
        except (RefusedError, UnreachableError):
            return False

    def _adopted_quietly(self, request: ProvisionRequest, chosen: Credentials) -> bool:
        """The same where asking the server (again) is the right thing to do when nobody can be reached."""
        try:
            return self._adopted(request, chosen, ())
        except UnreachableError as error:
            self.log.info("not adopted", device=chosen.name, reason=error.message)
            return False

    def prove(self, request: ProvisionRequest, chosen: Credentials) -> None:
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
                    'Check that "device_server" in provision.json is the broker that devices work with, and that the '
                    "device is active there; the next start tries the same credentials again",
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
