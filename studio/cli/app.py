"""The commands with their options and help. What a command does is in its own module, imported when it runs."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from studio.cli.dashboards_app import dashboards_app
from studio.cli.devices_app import devices_app
from studio.cli.options import Json, Name, Until, examples
from studio.cli.outcome import Exit, Stop
from studio.cli.secrets_app import secrets_app

app = typer.Typer(
    name="studio",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Put a glass studio's whole observability stack on its host, and keep it right.\n\n"
    "A studio is one file, inventories/NAME.yaml. A command takes the studio's NAME (or a path); left out, STUDIO "
    "names it, or it is the only one there is.",
    epilog=examples(
        "studio check                    are all inventories right?",
        "studio diff rosewood            what would a deploy change on its host?",
        "studio deploy rosewood          do it",
        "studio verify rosewood          is everything as it should be?",
        "studio status rosewood          what runs, how warm is it, what alerts?",
        "studio rollback rosewood        back to what was there before",
    ),
)
app.add_typer(dashboards_app, name="dashboards")
app.add_typer(devices_app, name="devices")
app.add_typer(secrets_app, name="secrets")


@app.command(
    epilog=examples(
        "studio check                          all inventories",
        "studio check rosewood",
        "studio check /tmp/new.yaml            a file that is elsewhere",
        "studio check --schema > inventories/schema.json",
    )
)
def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="STUDIO...", help="names or paths; all when left out")
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="print the JSON Schema of inventories instead")] = False,
    json: Json = False,
) -> None:
    """Tell every error of the inventories at once, with line and column."""
    from studio.cli import check

    check.schema() if schema else check.check(names or [], as_json=json)


@app.command(epilog=examples("studio render rosewood --out /tmp/rosewood"))
def render(
    name: Name = None,
    out: Annotated[Path, typer.Option(help="folder to write to; made when missing")] = Path("rendered"),
    json: Json = False,
) -> None:
    """Write all files of the studio's generation, to look at."""
    from studio.cli import render

    render.render(name, out, as_json=json)


@app.command(epilog=examples("studio diff rosewood", "studio diff rosewood --json | jq .restarts"))
def diff(name: Name = None, json: Json = False) -> None:
    """Show what a deploy would change on the host; exit code 2 when there is something."""
    from studio.cli import diff

    diff.diff(name, as_json=json)


@app.command(
    epilog=examples(
        "studio deploy rosewood",
        "studio deploy rosewood --dry     what it would do, nothing is changed",
        "STUDIO_SECRET_IRM_SHOP_URL=https://... studio deploy rosewood",
    )
)
def deploy(
    name: Name = None, dry: Annotated[bool, typer.Option("--dry", help="show the diff and the steps only")] = False
) -> None:
    """Put the studio's generation on its host: unchanged it asks one question, else only what changed restarts."""
    from studio.cli import deploy

    deploy.deploy(name, dry=dry)


@app.command(
    epilog=examples("studio verify rosewood", "studio verify rosewood --json", "studio verify rosewood --only broker")
)
def verify(
    name: Name = None,
    only: Annotated[str | None, typer.Option(help="only checks with this in their name")] = None,
    json: Json = False,
) -> None:
    """Check on the host that everything is as the inventory says, from packages to rights at the broker.

    A furnace that is switched off, or that sent nothing within 30 days, is waited for; one that sent and stopped fails.
    """
    from studio.cli import verify

    verify.verify(name, only, as_json=json)


@app.command(epilog=examples("studio status rosewood", "studio status rosewood --json | jq '.furnaces[].celsius'"))
def status(name: Name = None, json: Json = False) -> None:
    """Show services, furnaces' temperatures, firing alerts and the generations on the host."""
    from studio.cli import status

    status.status(name, as_json=json)


@app.command(
    epilog=examples(
        "studio replay rosewood --from 24h                              what would have fired since yesterday?",
        "studio replay rosewood --from 2026-11-01 --to 2026-11-08",
        "studio replay rosewood --from 7d --json | jq length",
    )
)
def replay(
    name: Name = None,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="2026-11-20, 2026-11-20T08:30, or 24h, 7d for so long ago")
    ] = "24h",
    until: Until = None,
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="another VictoriaMetrics, as the host reaches it")
    ] = None,
    json: Json = False,
) -> None:
    """Run this repository's alert rules over stored history and show what would have fired; nobody is alerted."""
    from studio.cli import replay

    replay.replay(name, since, until, url, as_json=json)


PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(
    epilog=examples(
        "studio tap rosewood                                     every event of every component",
        "studio tap rosewood furnace --limit 10                  what comes out of one",
        "studio tap rosewood --inputs-of furnace_series          what goes into one",
        "studio tap rosewood --format json | jq .                in a pipe",
    ),
    context_settings=PASSED_ON,
)
def tap(context: typer.Context, name: Name = None) -> None:
    """Show the events in the pipeline as they pass: `vector tap` on the host, with all arguments after STUDIO."""
    from studio.cli import tap

    tap.vector("tap", name, context.args)


@app.command(
    epilog=examples("studio top rosewood", "studio top rosewood --interval 500    milliseconds"),
    context_settings=PASSED_ON,
)
def top(context: typer.Context, name: Name = None) -> None:
    """Show the pipeline's components with their rates: `vector top` on the host, with all arguments after STUDIO."""
    from studio.cli import tap

    tap.vector("top", name, context.args)


@app.command(epilog=examples("studio rollback rosewood", "studio rollback rosewood --to 3f2a"))
def rollback(
    name: Name = None,
    to: Annotated[str | None, typer.Option(metavar="GENERATION", help="its name or the beginning of it")] = None,
) -> None:
    """Take the generation that was in use before (or a named one) into use again."""
    from studio.cli import rollback

    rollback.rollback(name, to)


@app.command(
    epilog=examples(
        "studio demo",
        "studio demo --trouble main=flame-out",
        "studio demo --well                      all furnaces are well again",
        "studio demo --json                      where the running demo is",
        "studio demo --down",
    )
)
def demo(
    trouble: Annotated[
        list[str] | None,
        typer.Option(metavar="FURNACE=TROUBLE", help="give a furnace flame-out, erratic, stuck, silent or junk"),
    ] = None,
    well: Annotated[bool, typer.Option("--well", help="all furnaces are well again")] = False,
    json: Annotated[bool, typer.Option("--json", help="only tell where the running demo is, for programs")] = False,
    down: Annotated[bool, typer.Option("--down", help="stop the demo and remove every trace of it")] = False,
) -> None:
    """Build and boot a throwaway host on this machine, deploy a studio to it, feed it, and show it."""
    from studio.cli import demo

    demo.demo(trouble or [], well=well, as_json=json, down=down)


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit code, and never shows a traceback for an expected error."""
    try:
        app(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else Exit.FAILED
    except Exception as error:
        return _expected(error)
    return Exit.FINE


def _expected(error: Exception) -> int:
    """The exit code of an expected error, its message told; any other is raised again."""
    from studio.cli import failure

    stop = error if isinstance(error, Stop) else failure.of(error)
    if stop is None:
        raise error
    if str(stop):
        print(f"studio: {stop}", file=sys.stderr)
    return stop.code
