"""What is known of the request in hand, and the events it made: logged together when its status is known."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

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
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

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
        context.events.append((level, event, fields))
    else:
        getattr(log, level)(event, **fields)


def flush(context: RequestContext, logs: "LogWriter") -> None:
    """Log the request's events; from here on they are logged at once."""
    context.answered = True
    common = context.common()
    for level, event, fields in context.events:
        logs.event(level, event, common, fields)
    context.events.clear()
