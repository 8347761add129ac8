"""All dashboards of a studio."""

from dashboards.device_health import device_health
from dashboards.frame import Dashboard
from dashboards.furnaces import furnaces
from dashboards.live import liveview_health
from dashboards.panels import Rules
from dashboards.pipeline import pipeline
from dashboards.provisioning import provisioning
from dashboards.runs import command_throughput, runner_overview
from studio.model import Studio


def of_studio(studio: Studio, rules: Rules) -> list[Dashboard]:
    """Those made of the inventory's devices."""
    return [furnaces(studio, rules)]


def of_system(rules: Rules) -> list[Dashboard]:
    """Those that are the same for every studio but for its name."""
    made = (runner_overview, liveview_health, command_throughput, provisioning, device_health, pipeline)
    return [make(rules) for make in made]
