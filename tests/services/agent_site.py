"""A hub and a broker, each its own program, and a host that lets in at the broker whom the hub names."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.agent_broker import Broker, until

from hostctl import broker as host_broker
from hostctl import credentials as host_credentials
from lab.ports import free_port

ADMIN = "an-admin-token-for-tests"


class Site:
    """A hub and a broker that lets in whom the hub named, a second after the hub named them, as a host does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http, self.provisioning = free_port(), free_port()
        for name in ("passwd", "acl"):
            (folder / name).touch(0o600)
        self.broker = Broker(folder, f"password_file {folder}/passwd\nacl_file {folder}/acl", anonymous=False)
        self.environment = os.environ | {
            "HUB_PORT": str(self.http),
            "HUB_PROVISION_PORT": str(self.provisioning),
            "HUB_DATABASE_URL": f"sqlite:///{folder}/hub.db",
            "HUB_ADMIN_TOKEN": ADMIN,
            "HUB_MQTT_URL": f"mqtt://admin:admin@127.0.0.1:{self.broker.port}",
            "HUB_BROKER_USERS_FILE": str(folder / "users.json"),
            "HUB_APK_DIR": str(folder / "apk"),
            "HUB_RATE_PROVISION": "100000",
            "PROVISION_EVENT_LOG": "",
        }
        self._ended = threading.Event()

    def hub(self, *arguments: str) -> str:
        command = [sys.executable, "-m", "hub", *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {ADMIN}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def ready(self) -> bool:
        with contextlib.suppress(OSError, urllib.error.URLError):
            self.ask("/readyz")
            return True
        return False

    def _let_in(self, users: list[dict[str, Any]], roles: list[dict[str, Any]]) -> None:
        admin = {"name": "admin", "hash": host_broker.new_hash(b"admin", b"0123456789ab"), "roles": []}
        lines = ["user admin", "topic readwrite #"]
        for user in users:
            lines.append(f"user {user['name']}")
            words = {"PUBLISH": "write", "SUBSCRIBE": "read"}
            permissions = [p for role in roles if role["id"] in user["roles"] for p in role["permissions"]]
            lines += [f"topic {words[p['activity']]} {p['topic']}" for p in permissions]
        (self.folder / "passwd").write_bytes(host_credentials.mosquitto([admin, *users]))
        (self.folder / "acl").write_text("\n".join(lines) + "\n")
        self.broker.reload()

    def _host(self) -> None:
        known = ""
        while not self._ended.wait(0.1):
            path = self.folder / "users.json"
            text = path.read_text() if path.exists() else ""
            if text != known:
                known = text
                time.sleep(1)
                self._let_in(**json.loads(text))

    @contextlib.contextmanager
    def running(self) -> Iterator["Site"]:
        self._let_in([], [])
        host = threading.Thread(target=self._host)
        with self.broker, (self.folder / "hub.log").open("w") as log:
            hub = subprocess.Popen([sys.executable, "-m", "hub", "serve"], env=self.environment, stdout=log, stderr=log)
            host.start()
            try:
                until(self.ready, 30)
                yield self
            finally:
                self._ended.set()
                host.join(10)
                hub.terminate()
                hub.wait(20)
