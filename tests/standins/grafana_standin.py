"""A stand-in for Grafana's HTTP API: dashboards and folders, in both generations, as far as its documentation says.

It keeps what it is given in memory and does to it what Grafana does: numbers it, adds fields, wants the folder to be
there and an update to name what it updates. Whatever it does not implement it answers with 501.
"""

import copy
import json
import re
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any]
TOKEN = "glsa_of-the-stand-in"
GROUPS = ("dashboard.grafana.app", "folder.grafana.app")
REQUIRED = {"title", "panels", "schemaVersion"}


class GrafanaStandin:
    """`version` is that of the new API (`v1`, `v1beta1`), or None for a Grafana that has only the old.

    `requests` are method and path of what was asked; `answers` are given once each to whoever writes, before its own.
    """

    def __init__(self, version: str | None, namespace: str = "default") -> None:
        self.version, self.namespace = version, namespace
        self.folders: dict[str, str] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.answers: deque[Answer] = deque()
        self._lock = threading.Lock()
        self._number = 0
        standin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, found = standin.answer(self.command, self.path, token, body)
                content = json.dumps(found).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", found["location"])
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer  # noqa: N815 - the names http.server looks for

            def log_message(self, *_: object) -> None:
                """No line a request."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [asked for asked in self.requests if asked[0] != "GET"]

    def answer(self, method: str, path: str, token: str, body: Any) -> Answer:
        with self._lock:
            self.requests.append((method, path))
            if token != TOKEN:
                return 401, {"message": "Invalid API key"}
            if method != "GET" and self.answers:
                return self.answers.popleft()
            if path == "/api/frontend/settings":
                return 200, {"namespace": self.namespace, "buildInfo": {"version": "stand-in"}}
            if path.startswith("/apis/"):
                return self._new(method, path, body)
            return self._old(method, path, body)

    def _old(self, method: str, path: str, body: Any) -> Answer:
        if found := re.fullmatch(r"/api/folders/([\w-]+)", path):
            uid = found[1]
            there = uid in self.folders
            return (200, {"uid": uid, "title": self.folders[uid]}) if there else (404, {"message": "folder not found"})
        if (method, path) == ("POST", "/api/folders"):
            return self._make_folder(body["uid"], body["title"])
        if method == "GET" and (found := re.fullmatch(r"/api/dashboards/uid/([\w-]+)", path)):
            if (kept := self.dashboards.get(found[1])) is None:
                return 404, {"message": "Dashboard not found"}
            content = {**kept["spec"], "uid": found[1], "id": kept["number"], "version": kept["version"]}
            return 200, {"dashboard": content, "meta": {"folderUid": kept["folder"], "provisioned": False}}
        if (method, path) == ("POST", "/api/dashboards/db"):
            return self._save(body)
        return 501, {"message": f"this stand-in has no {method} {path}"}

    def _save(self, body: dict[str, Any]) -> Answer:
        given = dict(body["dashboard"])
        uid, number = given.pop("uid"), given.pop("id")
        if body["folderUid"] not in self.folders:
            return 404, {"message": "folder not found"}
        if number is not None or not set(given) >= REQUIRED:
            return 400, {"message": "bad request data"}
        if uid in self.dashboards and not body.get("overwrite"):
            return 412, {"message": "A dashboard with the same uid already exists", "status": "name-exists"}
        kept = self._keep(uid, given, body["folderUid"])
        return 200, {"status": "success", "uid": uid, "id": kept["number"], "version": kept["version"], "slug": uid}

    def _make_folder(self, uid: str, title: str) -> Answer:
        if uid in self.folders:
            return 412, {"message": "a folder with that uid already exists"}
        self.folders[uid] = title
        return 200, {"uid": uid, "title": title}

    def _keep(self, uid: str, spec: dict[str, Any], folder: str) -> dict[str, Any]:
        self._number += 1
        old = self.dashboards.get(uid)
        kept = {
            # What Grafana adds when it stores one.
            "spec": {**copy.deepcopy(spec), "weekStart": "", "preload": False},
            "folder": folder,
            "number": old["number"] if old else self._number,
            "version": old["version"] + 1 if old else 1,
            "resource": str(1_700_000_000_000_000 + self._number),
        }
        self.dashboards[uid] = kept
        return kept

    def _new(self, method: str, path: str, body: Any) -> Answer:
        parts = path.removeprefix("/apis/").split("/")
        if self.version is None or parts[0] not in GROUPS:
            return 404, {"kind": "Status", "status": "Failure", "message": "404 page not found", "code": 404}
        if len(parts) == 1:
            listed = [{"groupVersion": f"{parts[0]}/{v}", "version": v} for v in ("v0alpha1", self.version)]
            return 200, {"kind": "APIGroup", "name": parts[0], "versions": listed}
        kind = {"dashboard.grafana.app": "dashboards", "folder.grafana.app": "folders"}[parts[0]]
        if parts[1:5] != [self.version, "namespaces", self.namespace, kind]:
            return 403, {"kind": "Status", "message": f"{path} is not this token's", "code": 403}
        name = parts[5] if len(parts) > 5 else None
        if kind == "folders":
            return self._new_folder(method, name, body)
        return self._new_dashboard(method, name, body)

    def _new_folder(self, method: str, name: str | None, body: Any) -> Answer:
        if method == "GET" and name is not None:
            if name not in self.folders:
                return 404, {"kind": "Status", "message": f'folders "{name}" not found', "code": 404}
            return 200, {"kind": "Folder", "metadata": {"name": name}, "spec": {"title": self.folders[name]}}
        if method == "POST" and name is None:
            status, _ = self._make_folder(body["metadata"]["name"], body["spec"]["title"])
            return (201, body) if status == 200 else (409, {"kind": "Status", "message": "already exists", "code": 409})
        return 501, {"message": f"this stand-in has no {method} of a folder"}

    def _new_dashboard(self, method: str, name: str | None, body: Any) -> Answer:
        if method == "GET" and name is not None:
            if (kept := self.dashboards.get(name)) is None:
                return 404, {"kind": "Status", "message": f'dashboards "{name}" not found', "code": 404}
            return 200, self._resource(name, kept)
        if (method, name is None) not in {("POST", True), ("PUT", False)}:
            return 501, {"message": f"this stand-in has no {method} of a dashboard"}
        if refusal := self._refusal(method, body):
            return refusal[0], {"kind": "Status", "message": refusal[1], "code": refusal[0]}
        about, uid = body["metadata"], body["metadata"]["name"]
        kept = self._keep(uid, body["spec"], about["annotations"]["grafana.app/folder"])
        return (201 if method == "POST" else 200), self._resource(uid, kept)

    def _refusal(self, method: str, body: Any) -> tuple[int, str] | None:
        about, uid = body["metadata"], body["metadata"]["name"]
        folder, old = about.get("annotations", {}).get("grafana.app/folder", ""), self.dashboards.get(uid)
        if body["apiVersion"] != f"dashboard.grafana.app/{self.version}" or not set(body["spec"]) >= REQUIRED:
            return 400, "bad request"
        if folder not in self.folders:
            return 400, f'folders "{folder}" not found'
        if method == "POST" and old is not None:
            return 409, f'dashboards "{uid}" already exists'
        if method == "PUT" and (old is None or about.get("resourceVersion") != old["resource"]):
            return 409, "the object has been modified"
        return None

    def _resource(self, uid: str, kept: dict[str, Any]) -> dict[str, Any]:
        about = {
            "name": uid,
            "namespace": self.namespace,
            "resourceVersion": kept["resource"],
            "annotations": {"grafana.app/folder": kept["folder"]},
        }
        return {
            "kind": "Dashboard",
            "apiVersion": f"dashboard.grafana.app/{self.version}",
            "metadata": about,
            "spec": kept["spec"],
        }
