"""ThingsBoard's device provisioning over MQTT: one request, and the one answer that is ours."""

import enum
import json
import time

import paho.mqtt.client as paho

from agent import strictjson
from agent.credentials import Credentials
from agent.errors import UnreachableError
from agent.logs import Log
from agent.mqtt import Login, session
from agent.request import ProvisionRequest

REQUEST_TOPIC = "/provision/request"
RESPONSE_TOPIC = "/provision/response"
USER = "provision"
FAILED = "Failed to provision device!"
"""ThingsBoard's only words for a FAILURE."""
SILENCE = "ThingsBoard is silent when a field is not to its liking; check the server's log and the provisioning key"


class NoAnswerError(UnreachableError):
    """The request left and no answer came: the server may have made the device all the same."""


class Answer(enum.Enum):
    """What the server said."""

    SUCCESS = "SUCCESS"
    NOT_FOUND = "NOT_FOUND"
    FAILURE = "FAILURE"
    """The name or the credentials exist already."""
    BAD_REQUEST = "BAD_REQUEST"
    """A FAILURE with a reason of its own, which the hub gives and ThingsBoard never."""
    BUSY = "BUSY"
    """A FAILURE that speaks of the server, not of the request."""


def ask(request: ProvisionRequest, wanted: Credentials, attempt: str, log: Log, seconds: float) -> tuple[Answer, str]:
    """Ask for a device; the answer and the server's own words. Each step may take `seconds`.

    Raises NoAnswerError when none came, UnreachableError when the request was not even sent, RefusedError and
    UntrustedError when the server will not talk to us.
    """
    payload = {"provisionDeviceKey": request.key, "provisionDeviceSecret": request.secret, **wanted.asked}
    # A client id of its own: a second session with the same one would take this one over, and its answer.
    with session(request.server, Login(f"{USER}-{attempt}", USER), seconds) as opened:
        opened.subscribe(RESPONSE_TOPIC, seconds)
        for stray in opened.waiting():
            log.warning("answer refused", reason="it came before the request", bytes=len(stray.payload))
        opened.publish(REQUEST_TOPIC, json.dumps(payload).encode())
        end = time.monotonic() + seconds
        try:
            while (left := end - time.monotonic()) > 0 and (message := opened.message(left)):
                if answer := _ours(message, wanted, log):
                    return answer
        except UnreachableError as error:
            raise NoAnswerError(error.message, SILENCE) from error
    raise NoAnswerError(
        f"{request.server}: no answer to the provisioning request within {seconds:g} s",
        SILENCE,
    )


def _ours(message: paho.MQTTMessage, wanted: Credentials, log: Log) -> tuple[Answer, str] | None:
    if reason := _not_ours(message):
        log.warning("answer refused", reason=reason, bytes=len(message.payload))
        return None
    try:
        values = strictjson.parse(bytes(message.payload))
        answer = Answer(values.get("status"))
        if answer in (Answer.BAD_REQUEST, Answer.BUSY):
            raise ValueError(f"no server says {answer.value}")
    except ValueError as error:
        log.warning("answer refused", reason=str(error), bytes=len(message.payload))
        return None
    if answer is Answer.SUCCESS and not wanted.repeated_in(values):
        log.warning("answer refused", reason="it is for other credentials than were asked for")
        return None
    told = values.get("errorMsg")
    told = told[:200] if isinstance(told, str) and told else answer.value
    # Without its last stop or exclamation mark, because what to do about it follows.
    return _meaning(answer, told), told.rstrip(" .!") or answer.value


def _meaning(answer: Answer, told: str) -> Answer:
    if answer is not Answer.FAILURE or told in (FAILED, answer.value):
        return answer
    return Answer.BAD_REQUEST if told.startswith(FAILED) else Answer.BUSY


def _not_ours(message: paho.MQTTMessage) -> str | None:
    if message.topic != RESPONSE_TOPIC:
        return "it came on another topic"
    if message.retain:
        return "it is a retained message, so it was meant for somebody else"
    return None
