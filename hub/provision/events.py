"""The five events of provisioning: each into the event log, the hub's log and the metrics."""

from typing import Any

from hub.context import record
from hub.logs import LogWriter
from hub.metrics import Metrics
from hub.provision.eventlog import EventLog


class ProvisionEvents:
    def __init__(self, log: EventLog, metrics: Metrics, logs: LogWriter) -> None:
        self._log = log
        self._logs = logs
        self._metrics = metrics

    def wait_start(self, fields: dict[str, Any]) -> None:
        self._metrics.wait_starts.labels(fields["method"]).inc()
        self._emit("wait_start", fields)

    def wait_success(self, device_id: str, method: str, elapsed: float, fresh: bool) -> None:
        self._metrics.waits.labels(method, "success").inc()
        self._metrics.wait_elapsed.labels(method, str(fresh).lower()).observe(elapsed)
        self._emit(
            "wait_success", {"device_id": device_id, "method": method, "elapsed": round(elapsed, 3), "fresh": fresh}
        )

    def wait_timeout(self, fields: dict[str, Any], elapsed: float) -> None:
        self._metrics.waits.labels(fields["method"], "timeout").inc()
        self._emit("wait_timeout", {**fields, "elapsed": round(elapsed, 3)})

    def wait_cached(self, device_id: str, fields: dict[str, Any], age: float) -> None:
        self._metrics.waits.labels(fields["method"], "cached").inc()
        self._emit("wait_cached", {**fields, "device_id": device_id, "age": round(age, 3)})

    def wait_forgotten(self, method: str) -> None:
        """The asker went away: no event of the log, but counted."""
        self._metrics.waits.labels(method, "disconnected").inc()

    def state_message(self, device_id: str, *, retained: bool, created: bool, waiters_notified: int) -> None:
        self._metrics.state_messages.labels(str(retained).lower(), str(created).lower()).inc()
        self._metrics.waiters_notified.inc(waiters_notified)
        fields = {
            "device_id": device_id,
            "retained": retained,
            "created": created,
            "waiters_notified": waiters_notified,
        }
        self._log.write("state_message", fields)
        # Of no request; and so many that even to find that nobody wants debug lines is to be cheap.
        self._logs.event("debug", "provision.state_message", {}, fields)

    def _emit(self, event: str, fields: dict[str, Any]) -> None:
        self._log.write(event, fields)
        record(f"provision.{event}", **fields)
