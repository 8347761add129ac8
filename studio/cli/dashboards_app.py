"""`studio dashboards ...`: the commands with their options and help."""

from typing import Annotated

import typer

from studio.cli.options import Json, Name, Until, examples

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


@dashboards_app.command(
    "backfill",
    epilog=examples(
        "studio dashboards backfill rosewood                       the last year",
        "studio dashboards backfill rosewood --from 2021-03-01     since then",
        "studio dashboards backfill rosewood --from 30d --to 20d",
    ),
)
def dashboards_backfill(
    name: Name = None,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="2026-11-20, 2026-11-20T08:30, or 30d for so long ago")
    ] = "365d",
    until: Until = None,
) -> None:
    """Fill in what graphs of more than two days read, for a time before it was recorded or while vmalert was away.

    It is made of what is stored, on the host, a week at a time, the newest first. What is there stays as it is, so it
    can be ended and run again. No alert is evaluated.
    """
    from studio.cli import dashboards_backfill

    dashboards_backfill.backfill(name, since, until)
