"""Commands from the hub: it names one, the device's own configuration says what that is. Output streams to the hub."""

import codecs
import json
import os
import re
import threading
import time
from typing import Any

from agent import VERSION, program, strictjson
from agent.errors import AgentError
from agent.logs import Log
from agent.outbox import Outbox
from agent.settings import Command, Settings

MOST_AT_ONCE = 2
MOST_OUTPUT = 1 << 20
"""Bytes of output that are passed on; the rest is read and thrown away, and the result says so."""
CHUNK = 4096
LARGEST_CHUNK = 32_768
"""Characters; what the hub takes in one chunk."""
TAIL = 2000
MESSAGE = 256
UNIQUE = "~"


class Commands:
    """Takes commands and runs them in threads of their own. A request id that was seen before is never run again."""

    def __init__(self, settings: Settings, outbox: Outbox, log: Log) -> None:
        self.settings = settings
        self.outbox = outbox
        self.log = log
        self.running: dict[str, threading.Thread] = {}

    def recover(self) -> None:
        """Tell the hub of commands that were running when the agent was ended."""
        for request, action in self.outbox.unfinished_runs():
            self._end(request, action, "error", message="the agent was ended while it ran")

    def take(self, topic: str, payload: bytes) -> None:
        """Begin what a message asks for; what is not a command is logged, never raised."""
        try:
            values = strictjson.parse(payload)
        except ValueError as error:
            self.log.warning("command refused", topic=topic[-80:], reason=str(error))
            return
        # ThingsBoard numbers its requests in the topic.
        numbered = self.settings.platform == "thingsboard"
        request = topic.rpartition("/")[2] if numbered else values.get("request_id")
        action = values.get("action", values.get("method"))
        if not (isinstance(request, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", request)):
            self.log.warning("command refused", reason="request_id is not 1 to 64 letters, digits, '_', '-', '.'")
        elif not (isinstance(action, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", action)):
            self.log.warning("command refused", request_id=request, reason="action is missing or not a name")
        else:
            try:
                # ThingsBoard counts from one again with every session, so the same number is not the same request.
                unique = f"{request}{UNIQUE}{os.urandom(4).hex()}" if numbered else request
                self._begin(unique, action, json.dumps(values.get("params") or {}))
            except AgentError as error:
                self.log.error("command failed", request_id=request, error=error.message, advice=error.advice)

    def _begin(self, request: str, action: str, params: str) -> None:
        self.running = {r: t for r, t in self.running.items() if t.is_alive()}
        if not self.outbox.begin_run(request, action):
            before = self.outbox.result_of(request)
            self.log.info("command seen before", request_id=request, action=action)
            if before is not None and (topic := self._topic("result", request)):
                self.outbox.add(topic, before)
            return
        self.log.info("command", request_id=request, action=action)
        if action == "ping":
            self._end(request, action, "ok", data={"version": VERSION, "waiting": self.outbox.waiting})
        elif (command := self.settings.commands.get(action)) is None:
            known = ", ".join(["ping", *self.settings.commands])
            self._end(request, action, "error", message=f"refused: this device has no such command; it has {known}")
        elif len(self.running) >= MOST_AT_ONCE:
            self._end(request, action, "error", message=f"refused: {MOST_AT_ONCE} commands are running already")
        else:
            thread = threading.Thread(target=self._run, args=(request, action, command, params), daemon=True)
            self.running[request] = thread
            thread.start()

    def _topic(self, use: str, request: str) -> str | None:
        topic = self.settings.topics[use]
        return topic.replace("{request}", request.partition(UNIQUE)[0]) if topic else None

    def _run(self, request: str, action: str, command: Command, params: str) -> None:
        begun = time.monotonic()
        output = _Output(self.outbox, self._topic("output", request))
        try:
            try:
                # The command's parameters, a JSON object, are its standard input.
                code = program.run(command, output.take, given=params.encode(), idle=output.flush)
            finally:
                output.end()
            message = None if code == 0 else f"it ended with {code}"
        except (AgentError, program.ProgramError) as error:
            code, message = None, str(error)
        data = {"duration_ms": round((time.monotonic() - begun) * 1000), "bytes": output.total, **output.summary()}
        if code is not None:
            data["exit_code"] = code
        try:
            self._end(request, action, "error" if message else "ok", message=message, data=data)
        except AgentError as error:
            self.log.error("result not kept", request_id=request, error=error.message, advice=error.advice)

    def _end(
        self, request: str, action: str, outcome: str, *, message: str | None = None, data: dict[str, Any] | None = None
    ) -> None:
        self.log.info("command ended", request_id=request, action=action, outcome=outcome, message=message)
        result: dict[str, Any] = {"outcome": outcome}
        if message:
            result["message"] = message.replace("\0", " ")[:MESSAGE]
        if data:
            result["data"] = data
        self.outbox.end_run(request, self._topic("result", request), result)


class _Output:
    """Output on its way: passed on in numbered chunks, or (no topic for it) its end kept for the result."""

    def __init__(self, outbox: Outbox, topic: str | None) -> None:
        self.total = 0
        self._outbox, self._topic = outbox, topic
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._sequence = 0
        self._flushed = time.monotonic()

    def take(self, data: bytes) -> None:
        room = MOST_OUTPUT - self.total
        self.total += len(data)
        self._text += self._decoder.decode(data[: max(room, 0)])
        if self._topic is None:
            self._text = self._text[-TAIL:]
        elif len(self._text) >= CHUNK or time.monotonic() - self._flushed > program.TURN_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._flushed = time.monotonic()
        if self._text and self._topic:
            while self._text:
                piece, self._text = self._text[:LARGEST_CHUNK], self._text[LARGEST_CHUNK:]
                self._outbox.add(self._topic, {"seq": self._sequence, "stream": "stdout", "data": piece})
                self._sequence += 1

    def end(self) -> None:
        self._text += self._decoder.decode(b"", final=True)
        self.flush()

    def summary(self) -> dict[str, Any]:
        told: dict[str, Any] = {"chunks": self._sequence} if self._topic else {"output": self._text}
        return told | ({"truncated": True} if self.total > MOST_OUTPUT else {})
