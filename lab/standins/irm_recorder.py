#!/usr/bin/env python3
"""Stand-in for Grafana IRM's webhooks on a lab host: writes down what Alertmanager sends, and answers as IRM does.

    POST /oncall/integrations/v1/alertmanager/TOKEN/            an alert group (Alertmanager's webhook, version 4)
    POST /oncall/integrations/v1/alertmanager/TOKEN/heartbeat/  the dead-man's switch
    GET  /lab/records                                           all that came, one JSON object a line
    POST /lab/fail?seconds=N&status=503                         answer so for N seconds (not recorded)

A record: {"received": epoch seconds, "kind": "alert" | "heartbeat", "token": "...", "body": {...}}. Anything else is
refused: another path 404, a body that is no such message 400. It listens on loopback only. Standard library only.
"""

import argparse
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

INTEGRATION = re.compile(r"/oncall/integrations/v1/alertmanager/([\w-]+)/(heartbeat/)?")
LARGEST = 1 << 20  # bytes of a body


class Refused(Exception):
    """The message is not one that IRM takes."""


def webhook_in(raw: bytes) -> dict[str, Any]:
    """Alertmanager's message out of a request's body; raises Refused when it is none."""
    try:
        message = json.loads(raw)
    except ValueError as error:
        raise Refused(f"no JSON: {error}") from error
    if not isinstance(message, dict) or message.get("version") != "4":
        raise Refused("no Alertmanager webhook of version 4")
    if message.get("status") not in {"firing", "resolved"}:
        raise Refused("status is neither firing nor resolved")
    alerts = message.get("alerts")
    if not isinstance(alerts, list) or not alerts or not all(isinstance(alert, dict) for alert in alerts):
        raise Refused("no alerts in it")
    return message


class Recorder(ThreadingHTTPServer):
    """The server, the file it writes, and until when it fails."""

    daemon_threads = True

    def __init__(self, port: int, records: Path) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.records = records
        self.records.parent.mkdir(parents=True, exist_ok=True)
        self.records.touch()
        self.lock = threading.Lock()
        self.failing_until = 0.0
        self.failing_status = 503

    def record(self, kind: str, token: str, body: dict[str, Any]) -> None:
        line = json.dumps({"received": time.time(), "kind": kind, "token": token, "body": body})
        with self.lock, self.records.open("a") as file:
            file.write(f"{line}\n")

    def fail(self, seconds: float, status: int) -> None:
        self.failing_until, self.failing_status = time.monotonic() + seconds, status


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Recorder
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/lab/records":
            self._answer(200, self.server.records.read_bytes())
        else:
            self._answer(404, b"no such path\n")

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        if length > LARGEST:
            self.close_connection = True
            self._answer(413, b"too large\n")
            return
        raw = self.rfile.read(length)
        target = urlsplit(self.path)
        integration = INTEGRATION.fullmatch(target.path)
        if target.path == "/lab/fail":
            self._fail(parse_qs(target.query))
        elif integration is None:
            self._answer(404, b"no such path\n")
        elif time.monotonic() < self.server.failing_until:
            self._answer(self.server.failing_status, b"told to fail\n")
        else:
            self._take("heartbeat" if integration[2] else "alert", integration[1], raw)

    def _take(self, kind: str, token: str, raw: bytes) -> None:
        try:
            message = webhook_in(raw)
        except Refused as error:
            self._answer(400, f"{error}\n".encode())
            return
        self.server.record(kind, token, message)
        self._answer(200, b"Ok.\n")

    def _fail(self, query: dict[str, list[str]]) -> None:
        try:
            self.server.fail(float(query["seconds"][0]), int(query.get("status", ["503"])[0]))
        except (KeyError, ValueError):
            self._answer(400, b"say for how long: seconds=N\n")
            return
        self._answer(200, b"failing\n")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        return


def main() -> None:
    parser = argparse.ArgumentParser(description="Stand-in for Grafana IRM's webhooks.")
    parser.add_argument("--port", type=int, default=9911, help="on 127.0.0.1; 0 takes a free one (default: 9911)")
    parser.add_argument("--records", type=Path, required=True, help="file to append to, one JSON object a line")
    args = parser.parse_args()
    with Recorder(args.port, args.records) as server:
        print(f"listening on 127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
