"""The two operations on a camera: keep the agent right there, remove it."""

import base64
import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from paramiko import SSHException
from pyinfra import host, logger
from pyinfra.api import StringCommand, operation
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput

from studio.devices import chosen, hub, program
from studio.devices.ask import read
from studio.devices.plan import Found, Plan, Wanted, plan
from studio.devices.release import Release, release
from studio.host import Failed, HostProblem
from studio.model.loader import only

ASK_SECONDS = 60
CHANGE_SECONDS = 400


class Device:
    """The camera that pyinfra is at work on."""

    def __init__(self, where: Host) -> None:
        self.release: Release = release(os.environ.get("STUDIO") or only())
        self.camera = chosen(self.release.studio, [where.name])[0]
        self._host = where

    def tell(self, *arguments: str, order: str = "{}", seconds: int = ASK_SECONDS) -> list[str]:
        """What devicectl answers, by lines, where the log-in came from first; raises Failed with its message."""
        try:
            done, said = self._host.run_shell_command(
                StringCommand(program.line(*arguments)),
                print_output=False,
                print_input=False,
                _stdin=program.parcel(order),
                _timeout=seconds,
            )
        except (OSError, EOFError, SSHException) as error:
            raise Failed(f"the connection broke: {error or type(error).__name__}") from error
        if not done:
            raise Failed("; ".join(said.stderr_lines) or "it ended without a word")
        lines: list[str] = said.stdout_lines
        return lines

    def facts(self) -> tuple[Wanted, Found]:
        try:
            where, found = read(self.tell("facts", self.release.bundle.generation))
        except (ValueError, IndexError) as error:
            raise Failed(f"it did not answer as devicectl does: {error}") from None
        return self.release.wanted(self.camera, where), found

    def report(self, done: list[str], error: str = "") -> None:
        """A line about this camera for who asked for one."""
        if place := self._host.data.get("report"):
            told = {"camera": self.camera.id, "done": done, "error": error}
            with Path(place).open("a") as file:
                file.write(json.dumps(told) + "\n")


class _Change(StringCommand):
    """Something done to a camera; it fails with a message, and then is reported."""

    def __init__(self, device: Device, what: str) -> None:
        super().__init__(what)
        self.device = device

    def change(self) -> list[str]:
        raise NotImplementedError

    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:
        try:
            done = self.change()
        except HostProblem as error:
            logger.error(f"{host.print_prefix}{error}")
            self.device.report([], str(error))
            return False, CommandOutput([])
        for line in done:
            logger.info(f"{host.print_prefix}{line}")
        self.device.report(done)
        return True, CommandOutput([])


class _Fail(_Change):
    def __init__(self, device: Device, error: HostProblem) -> None:
        super().__init__(device, "look at the camera")
        self._error = error

    def change(self) -> list[str]:
        raise self._error


class _KeepRight(_Change):
    def __init__(self, device: Device, wanted: Wanted, needed: Plan) -> None:
        super().__init__(device, "; ".join(needed.reasons))
        self._wanted = wanted
        self._needed = needed

    def change(self) -> list[str]:
        device, needed = self.device, self._needed
        studio, name = device.release.studio, device.camera.id
        done = []
        if needed.install or needed.provision or needed.restart:
            archive = device.release.bundle.tar_gz() if needed.install else None
            if needed.provision:
                device.tell("mark")
            request = self._wanted.request(hub.open_for(studio, name)) if needed.provision else None
            order = {
                "version": self._wanted.version,
                "package": base64.b64encode(archive).decode() if archive else None,
                "request": request,
                "first": self._wanted.first_config,
            }
            done += device.tell("apply", order=json.dumps(order), seconds=CHANGE_SECONDS)[-1:]
        if needed.provision or needed.settle:
            hub.close_for(studio, name)
            device.tell("settle")
        return [*needed.reasons, *done]


class _Remove(_Change):
    def __init__(self, device: Device, *, keep_data: bool) -> None:
        super().__init__(device, "remove the agent")
        self._keep_data = keep_data

    def change(self) -> list[str]:
        # The agent first: one that is refused by the broker would only fill its log.
        options = ["--keep-data"] if self._keep_data else []
        done = self.device.tell("remove", *options, seconds=CHANGE_SECONDS)[-1:]
        hub.forget(self.device.release.studio, self.device.camera.id)
        return done


@operation()
def keep_right() -> Generator[StringCommand, None, None]:
    """Have the agent in use as this tree has it, and the camera provisioned at the studio's hub."""
    device = Device(host)
    try:
        wanted, found = device.facts()
    except HostProblem as error:
        yield _Fail(device, error)
        return
    needed = plan(found, wanted, again=bool(host.data.get("again")))
    if needed.reasons:
        yield _KeepRight(device, wanted, needed)
    else:
        device.report([])


@operation()
def remove() -> Generator[StringCommand, None, None]:
    """Have nothing of the agent on the camera, and no account of it at the hub."""
    yield _Remove(Device(host), keep_data=bool(host.data.get("keep_data")))
