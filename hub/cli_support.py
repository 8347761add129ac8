"""What the commands share: settings, the database, refusals in one line."""

import asyncio
import json
from typing import Any, Final

import typer

from hub import settings
from hub.errors import Refused
from hub.store import Unavailable

BAD_SETTINGS: Final = 2
UNAVAILABLE: Final = 3


def fail(message: str, code: int = 1) -> typer.Exit:
    typer.echo(f"hub: {message}", err=True)
    return typer.Exit(code)


def load() -> settings.Settings:
    try:
        return settings.load()
    except settings.SettingsError as error:
        raise fail(f"wrong settings:\n{error}", BAD_SETTINGS) from None


def check_files(chosen: settings.Settings) -> None:
    """Read the files that settings name, so that all that is wrong with them is said before anything is served."""
    from hub.live.outside import page_config
    from hub.runs.fcm import service_account_of

    wrong = []
    for read, file in ((page_config, chosen.page_config), (service_account_of, chosen.fcm_credentials_file)):
        try:
            if file is not None:
                read(file)
        except settings.SettingsError as error:
            wrong.append(str(error))
    if wrong:
        raise fail("wrong settings:\n" + "\n".join(wrong), BAD_SETTINGS)


def database(work: Any) -> Any:
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
