"""`hub provision-key`: the keys with which devices provision themselves."""

import json
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from hub.cli_support import BAD_SETTINGS, database, fail, load, show
from hub.ids import digest, iso
from hub.store import open_database
from hub.thingsboard import store

keys = typer.Typer(help="Keys with which devices provision themselves.", no_args_is_help=True)
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
    database(_write(load().database_url, work))
    show(made.model_dump(), as_json)


@keys.command("list")
def key_list(as_json: AsJson = False) -> None:
    """The keys, without their secrets."""
    found = database(_write(load().database_url, store.list_keys()))
    if as_json:
        typer.echo(json.dumps(found))
        return
    for key in found:
        state = "revoked" if key["revoked_at"] else "in use"
        typer.echo(f"{key['key']}  {state:<8}{key['kind']:<10}{iso(key['created_at'])}  {key['note'] or ''}")


@keys.command("revoke")
def key_revoke(key: Annotated[str, typer.Argument()]) -> None:
    """Take a key back; devices that were provisioned with it stay."""
    database(_write(load().database_url, store.revoke_key(key)))
    typer.echo(f"{key}: revoked")


async def _write(url: str, work: Any) -> Any:
    db = await open_database(url)
    try:
        return await db.write(work)
    finally:
        await db.close()
