"""The repository's own files as rendering needs them: read once, compiled once."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from studio.paths import TEMPLATES
from studio.render import escape


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - none of the formats is HTML; each value is quoted by a filter of its format
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {
        "unit": escape.unit_value,
        "word": escape.unit_word,
        "go": escape.go_string,
        "monit": escape.monit,
    }
    return environment


@cache
def _template(name: str) -> jinja2.Template:
    return _environment().get_template(name)


def fill(name: str, **values: Any) -> str:
    """The text of `templates/<name>.j2` with its values; a value that is missing is an error."""
    return _template(f"{name}.j2").render(values)


@cache
def static(path: Path) -> bytes:
    """The content of a file of the repository."""
    return path.read_bytes()
