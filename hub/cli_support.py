"""What the commands share: settings, the database, refusals in one line."""

import asyncio
import json
import ssl
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


def load(**given: Any) -> settings.Settings:
    """The settings; those that are `given` are not asked of the environment."""
    try:
        return settings.load(**given)
    except settings.SettingsError as error:
        raise _wrong([str(error)]) from None


def load_to_serve() -> settings.Settings:
    """The same, and all that is wrong with the files that are named is said as well, before anything is served."""
    wrong = []
    try:
        chosen = settings.load()
    except settings.SettingsError as error:
        wrong.append(str(error))
    wrong += _wrong_files(settings.Files())
    if wrong:
        raise _wrong(wrong)
    return chosen


def _wrong(lines: list[str]) -> typer.Exit:
    return fail("wrong settings:\n" + "\n".join(lines), BAD_SETTINGS)


def _wrong_files(named: settings.Files) -> list[str]:
    """Read the files, each as the part of the hub does that needs it."""
    from hub.live.config import page_config
    from hub.runs.fcm import service_account_of

    wrong = []
    for read, file in ((page_config, named.page_config), (service_account_of, named.fcm_credentials_file)):
        try:
            if file is not None:
                read(file)
        except settings.SettingsError as error:
            wrong.append(str(error))
    try:
        ssl.create_default_context(cafile=named.mqtt_ca)
    except OSError as error:
        wrong.append(f"HUB_MQTT_CA ({named.mqtt_ca}) cannot be used: {error}")
    if named.tls_cert is not None and named.tls_key is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(named.tls_cert, named.tls_key, lambda: "")
        except OSError as error:
            both = f"HUB_TLS_CERT ({named.tls_cert}) and HUB_TLS_KEY ({named.tls_key})"
            wrong.append(f"{both} cannot be used: {error}")
    return wrong


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
