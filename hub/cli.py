"""The `hub` command."""

import asyncio
import json
import resource
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import uvicorn
from pydantic import ValidationError

from hub import VERSION, logs, settings
from hub.errors import Refused
from hub.ids import digest, iso
from hub.server import Server
from hub.store import Unavailable, open_database
from hub.store.sqlite import path_of
from hub.thingsboard import store

BAD_SETTINGS: Final = 2
UNAVAILABLE: Final = 3

app = typer.Typer(
    help="The hub of a studio's devices. Settings are environment variables (HUB_*, docs/hub.md), or a .env file.\n\n"
    "Exit codes: 0 fine, 1 it failed, 2 wrong settings or arguments, 3 the database cannot be reached.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
)


def fail(message: str, code: int = 1) -> typer.Exit:
    typer.echo(f"hub: {message}", err=True)
    return typer.Exit(code)


def load() -> settings.Settings:
    try:
        return settings.load()
    except settings.SettingsError as error:
        raise fail(f"wrong settings:\n{error}", BAD_SETTINGS) from None


@app.callback(invoke_without_command=True)
def default(ctx: typer.Context, version: Annotated[bool, typer.Option("--version")] = False) -> None:
    """Without a command: `hub serve`."""
    if version:
        typer.echo(VERSION)
    elif ctx.invoked_subcommand is None:
        serve()


@app.command()
def serve() -> None:
    """Serve HTTP, MQTT and provisioning until SIGTERM; then finish what is begun and write out the log."""
    from hub.app import make_app

    chosen = load()
    # What is wrong with it is said in one line here, and by uvicorn as a traceback.
    _database(_migrated(chosen.database_url))
    # A thousand devices and pages at once are more than the 1,024 files that a service may have open by default.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    writer = logs.LogWriter(size=chosen.log_queue)
    logs.configure(writer, chosen.log_level)
    own_tls = chosen.tls_port is not None
    config = uvicorn.Config(
        make_app(chosen, writer),
        host=chosen.host,
        port=chosen.port,
        ssl_certfile=None if own_tls else chosen.tls_cert,
        ssl_keyfile=None if own_tls else chosen.tls_key,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips="127.0.0.1",
        timeout_graceful_shutdown=5,
    )
    server = Server(config, chosen)
    # uvicorn sends itself the signal again when it is done; the log must be written out after that.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise fail(f"it cannot listen: {error}") from None
    finally:
        writer.close()
    if not server.started:
        raise fail("it did not start; the log says why", 1)


keys = typer.Typer(help="Keys with which devices provision themselves.", no_args_is_help=True)
app.add_typer(keys, name="provision-key")
AsJson = Annotated[bool, typer.Option("--json", help="for programs")]


@keys.command("create")
def key_create(
    kind: Annotated[str, typer.Option(help="what the devices are: camera, plant, furnace")] = "camera",
    site: Annotated[str | None, typer.Option(help="where they are")] = None,
    note: Annotated[str | None, typer.Option(help="for people")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and its secret; the secret is shown this once."""
    from hub.api.thingsboard import NewKey, new_key

    try:
        wanted = NewKey(kind=kind, site=site, note=note)
    except ValidationError as error:
        wrong = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
        raise fail(wrong, BAD_SETTINGS) from None
    made = new_key()
    work = store.create_key(made.key, digest(made.secret), wanted.kind, wanted.site, wanted.note)
    _database(_write(load().database_url, work))
    show(made.model_dump(), as_json)


@keys.command("list")
def key_list(as_json: AsJson = False) -> None:
    """The keys, without their secrets."""
    found = _database(_write(load().database_url, store.list_keys()))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for key in found:
        state = "revoked" if key["revoked_at"] else "in use"
        typer.echo(f"{key['key']}  {state:<8}{key['kind']:<10}{iso(key['created_at'])}  {key['note'] or ''}")


@keys.command("revoke")
def key_revoke(key: Annotated[str, typer.Argument()]) -> None:
    """Take a key back; devices that were provisioned with it stay."""
    _database(_write(load().database_url, store.revoke_key(key)))
    typer.echo(f"{key}: revoked")


async def _write(url: str, work: Any) -> Any:
    db = await open_database(url)
    try:
        return await db.write(work)
    finally:
        await db.close()


@app.command()
def migrate() -> None:
    """Bring the database's tables up to date (serve does so as well)."""
    _database(_migrated(load().database_url))


async def _migrated(url: str) -> None:
    await (await open_database(url)).close()


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="the file to make; it must not exist")]) -> None:
    """Copy a SQLite database that is in use to a file, whole and consistent."""
    chosen = load()
    if not chosen.database_url.startswith("sqlite:"):
        raise fail("only SQLite is backed up here; use pg_dump for PostgreSQL", BAD_SETTINGS)
    source = path_of(chosen.database_url)
    if not source.exists():
        raise fail(f"there is no database {source}", UNAVAILABLE)
    partial = target.with_name(f".{target.name}.partial")
    try:
        if target.exists():
            raise fail(f"{target} exists already: name another file", BAD_SETTINGS)
        partial.unlink(missing_ok=True)
        partial.touch(0o600)
        with sqlite3.connect(f"file:{source}?mode=ro", uri=True) as live, sqlite3.connect(partial) as copy:
            live.backup(copy)
        partial.rename(target)
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise fail(f"the backup could not be written: {error}") from None
    typer.echo(f"{target}: {target.stat().st_size} bytes")


def _database(work: Any) -> Any:
    try:
        return asyncio.run(work)
    except Unavailable as error:
        raise fail(str(error), UNAVAILABLE) from None
    except Refused as error:
        raise fail(error.detail) from None


def show(value: dict[str, Any], as_json: bool) -> None:
    """One thing, for people or as JSON."""
    if as_json:
        typer.echo(json.dumps(value))
    else:
        width = max(len(key) for key in value)
        for key, item in value.items():
            typer.echo(f"{key:<{width}}  {'-' if item is None else item}")


def main() -> None:
    """Entry point."""
    sys.exit(app(prog_name="hub"))
