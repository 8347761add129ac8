"""studio dashboards: bring them to Grafana."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from urllib.parse import urlsplit

from rich.table import Table

from studio.cli import chosen
from studio.cli.dashboards_api import GrafanaError, GrafanaUnreachable, Session, find_api
from studio.cli.dashboards_push import Result
from studio.cli.dashboards_push import push as pushed
from studio.cli.outcome import Exit, Stop
from studio.model import Studio

URL = "GRAFANA_URL"
TOKEN = "GRAFANA_TOKEN"  # noqa: S105 - a variable's name
NAMESPACE = "GRAFANA_NAMESPACE"
COLOURS = {"failed": "red", "unchanged": "dim"}


def _session(environment: Mapping[str, str], *, plain_http: bool) -> Session:
    missing = [name for name in (URL, TOKEN) if not environment.get(name)]
    if missing:
        raise Stop(Exit.BAD_INPUT, f"{' and '.join(missing)} must be set: Grafana's address, a service account's token")
    url, token = environment[URL].strip(), environment[TOKEN].strip()
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise Stop(Exit.BAD_INPUT, f"{URL} must be an address such as https://grafana.example.net, without an account")
    if not token.isascii() or not token.isprintable():
        raise Stop(Exit.BAD_INPUT, f"{TOKEN} has characters in it that no token has")
    if parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"} and not plain_http:
        raise Stop(Exit.BAD_INPUT, f"{URL} is http://: the token could be read on its way; --plain-http does it still")
    return Session(url, token)


def _show(results: list[Result], url: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([{**asdict(result), "url": f"{url}/d/{result.uid}"} for result in results], indent=2))
        return
    table = Table("dashboard", "result", "address", box=None, header_style="bold")
    for result in results:
        colour = COLOURS.get(result.outcome, "green")
        what = f"[{colour}]{result.outcome}[/{colour}]"
        table.add_row(result.dashboard, what, result.message or f"{url}/d/{result.uid}")
    chosen.console().print(table)


def push(name: str | None, folder: str | None, *, dry: bool, as_json: bool, plain_http: bool = False) -> None:
    """Push every dashboard of a studio; one that fails stops no other."""
    studio = chosen.studio(name)
    session = _session(os.environ, plain_http=plain_http)
    results: list[Result] = []
    try:
        api = find_api(session, os.environ.get(NAMESPACE) or None)
        results.extend(pushed(api, studio, folder or studio.name, dry=dry))
    except GrafanaUnreachable as error:
        raise Stop(Exit.UNREACHABLE, f"{error}; {len(results)} dashboards were done") from None
    except GrafanaError as error:
        raise Stop(Exit.FAILED, str(error)) from None
    finally:
        if results:
            _show(results, session.url, as_json=as_json)
    if failed := sum(result.outcome == "failed" for result in results):
        raise Stop(Exit.FAILED, f"{failed} of {len(results)} dashboards could not be pushed")


def after_deploy(studio: Studio, name: str | None) -> None:
    """Push when the environment says where to; whatever becomes of it, the deploy was fine."""
    if not os.environ.get(URL):
        return
    try:
        push(name, None, dry=False, as_json=False)
    except Stop as stop:
        again = f"studio dashboards push {studio.name}"
        print(
            f"studio: the deploy is fine, but the dashboards are not all in Grafana: {stop}; again: {again}",
            file=sys.stderr,
        )
