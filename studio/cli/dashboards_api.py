"""Grafana's HTTP API, both generations: `/apis/...` of Grafana 12 and later, and `/api/...` of those before.

A token is sent to the one address that was given and never followed elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote

import requests

SECONDS: Final = 20
GROUP: Final = "dashboard.grafana.app"
FOLDERS: Final = "folder.grafana.app"
VERSIONS: Final = ("v1", "v1beta1")
"""Of the new API; both take the classic schema that the dashboards are in."""
FOLDER: Final = "grafana.app/folder"
MESSAGE: Final = "studio dashboards push"


class GrafanaError(Exception):
    """Grafana refused something; the message is a sentence with its own words."""


class GrafanaUnreachable(Exception):
    """Nobody answers, or who answers is no Grafana."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A dashboard as Grafana has it, the folder that it is in, and what an update must name."""

    content: dict[str, Any]
    folder: str
    version: str


class Session:
    """Requests to one Grafana with one token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {token}"
        self._http.trust_env = False

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of an answer; 404 is an answer, other refusals raise GrafanaError."""
        try:
            answer = self._http.request(method, f"{self.url}{path}", json=body, timeout=SECONDS, allow_redirects=False)
        except requests.RequestException as error:
            raise GrafanaUnreachable(f"{self.url} does not answer: {type(error).__name__}") from None
        if 300 <= answer.status_code < 400:
            raise GrafanaUnreachable(
                f"{self.url} sends elsewhere ({answer.status_code}): give the address that it leads to"
            )
        if answer.status_code in {401, 403}:
            what = (
                "does not take the token (GRAFANA_TOKEN)" if answer.status_code == 401 else "forbids that to the token"
            )
            raise GrafanaError(f"Grafana {what}: {method} {path}")
        try:
            found = answer.json()
        except ValueError:
            if answer.status_code == 404:
                return 404, {}
            raise GrafanaUnreachable(
                f"{self.url}{path} answers {answer.status_code} without JSON: is it a Grafana?"
            ) from None
        if answer.status_code >= 400 and answer.status_code != 404:
            said = _object(found).get("message", "")
            raise GrafanaError(f"Grafana answers {answer.status_code} to {method} {path}: {said}")
        if answer.status_code != 404 and not isinstance(found, dict):
            raise GrafanaUnreachable(f"{self.url}{path} does not answer as Grafana does: is it one?")
        return answer.status_code, _object(found)

    def part(self, found: Mapping[str, Any], key: str) -> dict[str, Any]:
        """The object under a key that every Grafana's answer has."""
        if not isinstance(found.get(key), dict):
            raise GrafanaUnreachable(f"{self.url} answers without `{key}`, which Grafana has: is it one?")
        return _object(found[key])


def _object(value: Any) -> dict[str, Any]:
    """The JSON object, an empty one in the place of anything else."""
    return value if isinstance(value, dict) else {}


def _word(text: str) -> str:
    """One segment of a path, whatever is in it."""
    return quote(text, safe="")


class Api(Protocol):
    """What a push needs of Grafana."""

    name: str

    def has_folder(self, uid: str) -> bool: ...

    def make_folder(self, uid: str, title: str) -> None: ...

    def get(self, uid: str) -> Stored | None: ...

    def put(self, dashboard: Mapping[str, Any], folder: str, old: Stored | None) -> None: ...


class Legacy:
    """`/api/dashboards/db`: every Grafana until 12, still there in 13."""

    name = "/api/dashboards/db"

    def __init__(self, session: Session) -> None:
        self._session = session

    def has_folder(self, uid: str) -> bool:
        return self._session.ask("GET", f"/api/folders/{_word(uid)}")[0] != 404

    def make_folder(self, uid: str, title: str) -> None:
        self._session.ask("POST", "/api/folders", {"uid": uid, "title": title})

    def get(self, uid: str) -> Stored | None:
        status, found = self._session.ask("GET", f"/api/dashboards/uid/{_word(uid)}")
        if status == 404:
            return None
        content = self._session.part(found, "dashboard")
        return Stored(content, _object(found.get("meta")).get("folderUid", ""), str(content.get("version", "")))

    def put(self, dashboard: Mapping[str, Any], folder: str, old: Stored | None) -> None:
        del old
        body = {"dashboard": {**dashboard, "id": None}, "folderUid": folder, "overwrite": True, "message": MESSAGE}
        status, _ = self._session.ask("POST", "/api/dashboards/db", body)
        if status == 404:
            raise GrafanaError(f"Grafana knows no folder {folder}")


class New:
    """`/apis/dashboard.grafana.app/...`: Grafana 12 and later."""

    def __init__(self, session: Session, version: str, folders: str, namespace: str) -> None:
        self._session = session
        self._dashboards = f"/apis/{GROUP}/{version}/namespaces/{_word(namespace)}/dashboards"
        self._folders = f"/apis/{FOLDERS}/{folders}/namespaces/{_word(namespace)}/folders"
        self._about = {"apiVersion": f"{GROUP}/{version}", "kind": "Dashboard"}
        self._about_folder = {"apiVersion": f"{FOLDERS}/{folders}", "kind": "Folder"}
        self.name = self._dashboards

    def has_folder(self, uid: str) -> bool:
        return self._session.ask("GET", f"{self._folders}/{_word(uid)}")[0] != 404

    def make_folder(self, uid: str, title: str) -> None:
        self._session.ask(
            "POST", self._folders, {**self._about_folder, "metadata": {"name": uid}, "spec": {"title": title}}
        )

    def get(self, uid: str) -> Stored | None:
        status, found = self._session.ask("GET", f"{self._dashboards}/{_word(uid)}")
        if status == 404:
            return None
        about = self._session.part(found, "metadata")
        folder = _object(about.get("annotations")).get(FOLDER, "")
        spec = self._session.part(found, "spec")
        return Stored({**spec, "uid": uid}, folder, about.get("resourceVersion", ""))

    def put(self, dashboard: Mapping[str, Any], folder: str, old: Stored | None) -> None:
        uid = str(dashboard["uid"])
        spec = {key: value for key, value in dashboard.items() if key != "uid"}
        about: dict[str, Any] = {"name": uid, "annotations": {FOLDER: folder, "grafana.app/message": MESSAGE}}
        if old is None:
            self._session.ask("POST", self._dashboards, {**self._about, "metadata": about, "spec": spec})
            return
        about["resourceVersion"] = old.version
        self._session.ask("PUT", f"{self._dashboards}/{_word(uid)}", {**self._about, "metadata": about, "spec": spec})


def _newest(session: Session, group: str) -> str | None:
    status, found = session.ask("GET", f"/apis/{group}")
    versions = found.get("versions")
    if status == 404 or not isinstance(versions, list):
        return None
    there = {_object(entry).get("version") for entry in versions}
    return next((version for version in VERSIONS if version in there), None)


def find_api(session: Session, namespace: str | None) -> Api:
    """The newest API that this Grafana has.

    Args:
        namespace: of the new API; None asks Grafana (an organisation's or a stack's own, else `default`).
    """
    version, folders = _newest(session, GROUP), _newest(session, FOLDERS)
    if version is None or folders is None:
        return Legacy(session)
    if namespace is None:
        _, settings = session.ask("GET", "/api/frontend/settings")
        namespace = str(settings.get("namespace") or "default")
    return New(session, version, folders, namespace)
