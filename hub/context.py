"""What is known of the request in hand, and the events it made: logged together when its status is known.

Each has the time at which it happened. A request that is about what another began (a device's result of a command) is
logged after it, also when it is answered first.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from hub.ids import now_ms

if TYPE_CHECKING:
    from hub.logs import LogWriter

log = structlog.get_logger()


@dataclass(slots=True)
class RequestContext:
    request_id: str
    route: str | None = None
    ip: str | None = None
    user_agent: str | None = None
    device_id: str | None = None
    alias: str | None = None
    status_code: int | None = None
    latency_ms: float | None = None
    answered: bool = False
    after: "RequestContext | None" = None
    """The request whose lines come before those of this one."""
    events: list[tuple[int, str, str, dict[str, Any]]] = field(default_factory=list)
    """Time (ms), level, event, fields."""
    followers: list["RequestContext"] = field(default_factory=list)
    """Answered, and to be logged after this one."""

    def common(self) -> dict[str, Any]:
        """The keys that every line has."""
        return {
            "request_id": self.request_id,
            "route": self.route,
            "ip": self.ip,
            "user_agent": self.user_agent,
            "device_id": self.device_id,
            "alias": self.alias,
            "status_code": self.status_code,
            "latency_ms": self.latency_ms,
        }


current: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def request_id() -> str:
    """The id of the request in hand, or "-" outside of one."""
    context = current.get()
    return context.request_id if context else "-"


def record(event: str, level: str = "info", **fields: Any) -> None:
    """Log an event of the vocabulary; within a request it waits for the status code and the latency."""
    context = current.get()
    if context is not None and not context.answered:
        if context.device_id is None:
            context.device_id = fields.get("device_id")
        if context.alias is None:
            context.alias = fields.get("alias")
        context.events.append((now_ms(), level, event, fields))
    else:
        getattr(log, level)(event, **fields)


def flush(context: RequestContext, logs: "LogWriter") -> None:
    """Log the request's events; from here on they are logged at once."""
    context.answered = True
    if context.after is not None and not context.after.answered:
        context.after.followers.append(context)
        return
    common = context.common()
    for at, level, event, fields in context.events:
        logs.event(level, event, common, fields, at)
    context.events.clear()
    for follower in context.followers:
        flush(follower, logs)
    context.followers.clear()
