"""Vector as a component: the container around the pipeline that studio.render.vector describes."""

from typing import Final

from studio.model import Studio
from studio.render.component import Component, loopback
from studio.render.quadlet import Container, Secret, http_health
from studio.render.vector import CONFIG, DATA, SECRET, render_vector

NAME: Final = "vector"
PROGRAM: Final = "/usr/local/bin/vector"
TESTS: Final = "vector/tests.yaml"


def render(studio: Studio) -> Component:
    ports = studio.ports
    container = Container(
        name=NAME,
        title="Vector, the pipeline",
        image=studio.images.vector,
        config=CONFIG,
        command=("--config", f"{CONFIG}/vector.yaml"),
        health=http_health(ports.vector_api),
        memory="512M",
        start_timeout=studio.start_timeout_seconds,
        volumes={"vector-data": DATA},
        secrets=(Secret(SECRET),),
        after=(studio.broker, "victoriametrics"),
        # Time to bring what it holds to VictoriaMetrics.
        stop_seconds=20,
    )
    return Component(
        name=NAME,
        order=30,
        start_timeout=studio.start_timeout_seconds,
        files=render_vector(studio),
        live=frozenset({TESTS}),
        container=container,
        image=studio.images.vector,
        secrets=(SECRET,),
        listens=(loopback(ports.vector_api, "health"), loopback(ports.vector_metrics, "metrics")),
        health_url=f"http://127.0.0.1:{ports.vector_api}/health",
        validate=(
            (PROGRAM, "validate", "--no-environment", "--deny-warnings", f"{CONFIG}/vector.yaml"),
            (PROGRAM, "test", f"{CONFIG}/vector.yaml", f"{CONFIG}/tests.yaml"),
        ),
    )
