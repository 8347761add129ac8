"""`studio dashboards ...`: the commands with their options and help."""

from typing import Annotated

import typer

from studio.cli.options import Json, Name, examples

dashboards_app = typer.Typer(
    no_args_is_help=True,
    help="The studio's Grafana dashboards. `studio render` writes them as files.",
    epilog=examples("studio dashboards push rosewood --dry-run", "studio dashboards push rosewood"),
)


@dashboards_app.callback()
def group() -> None:
    """The studio's Grafana dashboards. `studio render` writes them as files."""


@dashboards_app.command(
    "push",
    epilog=examples(
        "export GRAFANA_URL=https://example.grafana.net",
        "export GRAFANA_TOKEN=glsa_...     a service account's, role Editor",
        "studio dashboards push rosewood --dry-run",
        "studio dashboards push rosewood --folder furnaces --json",
    ),
)
def dashboards_push(
    name: Name = None,
    folder: Annotated[
        str | None, typer.Option(metavar="UID", help="uid of the folder, made when missing; default: the studio's name")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would be done")] = False,
    plain_http: Annotated[
        bool, typer.Option("--plain-http", help="send the token unencrypted to another host")
    ] = False,
    json: Json = False,
) -> None:
    """Bring the dashboards to Grafana (GRAFANA_URL, GRAFANA_TOKEN): new, changed, or left as they are.

    GRAFANA_NAMESPACE names the namespace of Grafana's newer API when Grafana itself does not tell the right one.
    Exit code 3: Grafana cannot be reached.
    """
    from studio.cli import dashboards

    dashboards.push(name, folder, dry=dry_run, as_json=json, plain_http=plain_http)
