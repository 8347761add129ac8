"""The `hub` command."""

import resource
import secrets
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from hub import VERSION, logs
from hub.cli_keys import keys
from hub.cli_support import BAD_SETTINGS, UNAVAILABLE, database, fail, load, load_to_serve
from hub.forwarded import Forwarded
from hub.listening import can_listen
from hub.restore import NotRestored, restore
from hub.server import Server
from hub.stopping import REQUEST_SECONDS, Deadline
from hub.store import open_database
from hub.store.sqlite import path_of

app = typer.Typer(
    help="The hub of a studio's devices. Settings are environment variables (HUB_*, docs/hub.md), or a .env file.\n\n"
    "Exit codes: 0 fine, 1 it failed, 2 wrong settings or arguments, 3 the database cannot be reached or used.",
    no_args_is_help=False,
    pretty_exceptions_enable=False,
)
app.add_typer(keys, name="provision-key")


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

    chosen = load_to_serve()
    can_listen(chosen)
    # What is wrong with it is said in one line here, and by uvicorn as a traceback.
    database(_migrated(chosen.database_url))
    # A thousand devices and pages at once are more than the 1,024 files that a service may have open by default.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    writer = logs.LogWriter(size=chosen.log_queue)
    logs.configure(writer, chosen.log_level)
    own_tls = chosen.tls_port is not None
    served = make_app(chosen, writer)
    config = uvicorn.Config(
        Forwarded(served),
        host=chosen.host,
        port=chosen.port,
        ssl_certfile=None if own_tls else chosen.tls_cert,
        ssl_keyfile=None if own_tls else chosen.tls_key,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=REQUEST_SECONDS,
    )

    def stopping() -> None:
        served.state.hub.provisioning.waits.stop()

    server = Server(config, chosen, Deadline(writer), stopping)
    # uvicorn sends itself the signal again when it is done; the log must be written out after that.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise fail(f"it cannot listen: {error}") from None
    except SystemExit:
        # uvicorn's own code for it is 3, which here says that the database is away.
        raise fail("it did not start; the log says why") from None
    finally:
        writer.close()


@app.command()
def migrate() -> None:
    """Bring the database's tables up to date (serve does so as well)."""
    database(_migrated(load().database_url))


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


@app.command("restore")
def restore_(backup: Annotated[Path, typer.Argument(metavar="FILE", help="what hub backup made")]) -> None:
    """Put a backup in the place of the SQLite database, while the hub is stopped; the database of before is kept."""
    # The admin's token has nothing to do with it.
    url = load(admin_token=secrets.token_hex()).database_url
    if not url.startswith("sqlite:"):
        raise fail("only SQLite is restored here; use pg_restore for PostgreSQL", BAD_SETTINGS)
    target = path_of(url)
    try:
        before = restore(backup, target)
    except NotRestored as error:
        raise fail(f"nothing was restored: {error}") from None
    except (OSError, sqlite3.Error) as error:
        raise fail(f"the backup could not be restored: {error}") from None
    typer.echo(f"{target}: restored from {backup}" + (f"; the database of before is {before}" if before else ""))


def main() -> None:
    """Entry point."""
    sys.exit(app(prog_name="hub"))
