"""What all dashboards have in common: name, tags, time, the one variable, links to each other."""

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard

from dashboards.panels import PanelBuilder

TAG: Final = "sensor-pipeline"
PLACEHOLDER: Final = re.compile(r"<<((?:label )?[a-z0-9-]+)>>")


@dataclass(frozen=True, slots=True)
class Row:
    """Panels below a heading."""

    title: str
    panels: Sequence[PanelBuilder]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard of any studio: in its texts are `<<placeholders>>`, see `fill`."""

    name: str
    title: str
    description: str
    audience: str
    rows: Sequence[Row]
    hours: int = 24


def _variable() -> build.DatasourceVariable:
    described = "where the studio's metrics are: its VictoriaMetrics, or Grafana Cloud's Prometheus"
    return build.DatasourceVariable("datasource").label("Data source").type("prometheus").description(described)


def _links() -> Iterable[build.DashboardLink]:
    yield (
        build.DashboardLink("Dashboards of this studio")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG, "studio:<<name>>"])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )


def to_dict(described: Dashboard) -> dict[str, Any]:
    """The dashboard in Grafana's JSON schema, as values."""
    with warnings.catch_warnings():
        # Both generations of Grafana's API take this schema; the one that the warning prefers, only the newest does.
        warnings.simplefilter("ignore", DeprecationWarning)
        made = (
            build.Dashboard(f"{described.title}: <<title>>")
            .uid(f"{described.name.replace('_', '-')}-<<uid>>")
            .description(described.description)
            .tags([TAG, described.audience, "studio:<<name>>"])
            .timezone("browser")
            .readonly()
            .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
            .refresh("30s")
            .time(f"now-{described.hours}h", "now")
            .with_variable(_variable())
            .links(list(_links()))
        )
    for row in described.rows:
        made.with_row(build.Row(row.title))
        for panel in row.panels:
            made.with_panel(panel)
    found: dict[str, Any] = orjson.loads(orjson.dumps(made.build(), default=lambda model: model.to_json()))
    for number, panel in enumerate(found["panels"], 1):
        panel["id"] = number
    for link in [*found["links"], *(link for panel in found["panels"] for link in panel.get("links", []))]:
        # The builder's default hides links in a menu that older Grafanas do not have.
        del link["placement"]
    return found


def to_text(described: Dashboard) -> str:
    """The dashboard as JSON, with its placeholders."""
    return orjson.dumps(to_dict(described), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def fill(text: str, values: Mapping[str, str]) -> str:
    """The JSON with every `<<name>>` replaced, in one pass: a value that looks like a placeholder stays what it is.

    `<<studio>>` is an expression's string, so it has quotes around it; the others are parts of texts.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name == "studio":
            return json.dumps(json.dumps(values["name"]))[1:-1]
        return json.dumps(values[name], ensure_ascii=False)[1:-1]

    return PLACEHOLDER.sub(value, text)
