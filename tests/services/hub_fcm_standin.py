"""A stand-in of FCM's HTTP v1 on loopback: OAuth's token end point and messages:send, answering as it is told."""

import json
import threading
import time
from collections import deque
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

Answer = tuple[int, dict[str, str], bytes]


def error(code: int, status: str, error_code: str | None = None, field: str | None = None, **headers: str) -> Answer:
    details: list[dict[str, Any]] = []
    if error_code:
        details.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": error_code})
    if field:
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"field": field}]})
    body = {"error": {"code": code, "status": status, "details": details}}
    return code, {name.replace("_", "-"): value for name, value in headers.items()}, json.dumps(body).encode()


@cache
def _private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


class FcmStandin:
    """`answers` are given in order, then success; `sent` are the messages, `tokens` counts the OAuth exchanges."""

    def __init__(self, folder: Path, token_seconds: int = 3600) -> None:
        self.sent: list[dict[str, Any]] = []
        self.answers: deque[Answer] = deque()
        self.tokens = 0
        self.delay = 0.0
        self.expire_after: int | None = None
        """After so many messages every access token that was given out is good no more."""
        self.tokens_cut = 0
        """So many askers for an access token are hung up on."""
        self._valid: set[str] = set()
        self._lock = threading.Lock()
        self._token_seconds = token_seconds
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/token" and standin.tokens_cut > 0:
                    standin.tokens_cut -= 1
                    self.close_connection = True
                    return
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                code, headers, answer = standin.answer(self.path, token, body)
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.credentials = folder / "service-account.json"
        self._write_credentials()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, token: str, body: bytes) -> Answer:
        if path == "/token":
            with self._lock:
                self.tokens += 1
                made = f"access-{self.tokens}"
                self._valid.add(made)
            answer = {"access_token": made, "expires_in": self._token_seconds, "token_type": "Bearer"}
            return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()
        if path != "/v1/projects/studio-test/messages:send":
            return 501, {}, b"this stand-in has no such path"
        if token not in self._valid:
            return error(401, "UNAUTHENTICATED")
        message = json.loads(body)["message"]
        if not all(isinstance(v, str) for v in message["data"].values()) or len(json.dumps(message["data"])) > 4096:
            return error(400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "message.data")
        with self._lock:
            answer = self.answers.popleft() if self.answers else None
            if answer is None or answer[0] == 200:
                self.sent.append(message)
                if len(self.sent) == self.expire_after:
                    self._valid.clear()
        time.sleep(self.delay)
        return answer or (200, {}, b'{"name": "projects/studio-test/messages/1"}')

    def _write_credentials(self) -> None:
        info = {
            "type": "service_account",
            "project_id": "studio-test",
            "private_key_id": "1",
            "private_key": _private_key(),
            "client_email": "hub@studio-test.iam.gserviceaccount.com",
            "token_uri": f"{self.url}/token",
        }
        self.credentials.write_text(json.dumps(info))
