"""What the commands' declarations share: options, and the end of a help text."""

from typing import Annotated

import typer

EXIT_CODES = "Exit codes: 0 fine, 1 failed, 2 bad input or drift, 3 the host cannot be reached."

Name = Annotated[
    str | None,
    typer.Argument(metavar="STUDIO", envvar="STUDIO", show_envvar=False, help="its name, or its inventory's path"),
]
Until = Annotated[str | None, typer.Option("--to", metavar="TIME", help="now when left out")]
Json = Annotated[bool, typer.Option("--json", help="for programs")]


def examples(*lines: str) -> str:
    """The end of a command's help: examples, then the exit codes."""
    return "\n".join(["[bold]Examples[/bold]", *(f"  {line}" for line in lines)]) + f"\n\n{EXIT_CODES}"
