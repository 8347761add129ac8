"""What a studio's host is asked to replay: rules, period, and the containers that do it."""

from datetime import UTC, datetime
from typing import Any, Final

from dashboards.recorded import EVERY_SECONDS
from studio.model import Studio
from studio.render import recorded, rules, victoriametrics, vmalert
from studio.render.escape import metricsql
from studio.render.vmalert import rule_files

POINTS: Final = 20_000
"""Of the 30,000 that VictoriaMetrics gives in one answer at most; `for` begins anew with every question."""
POINTS_RECORDED: Final = 720
"""A day of recorded series: a question that a small host can answer."""
LOCK: Final = "/run/studio-backfill.lock"


def _podman(studio: Studio, name: str, image: str, *options: str) -> list[str]:
    """A container of the studio's account that is gone when it ends, on the host's network like the real ones."""
    run = ["podman", "run", "--rm", f"--name={name}-{{port}}", "--pull=never", "--network=host", "--read-only"]
    guard = ["--cap-drop=all", "--security-opt=no-new-privileges", "--log-driver=none"]
    return [*_as_account(studio), *run, *guard, *options, image]


def _as_account(studio: Studio) -> list[str]:
    script = 'cd / && exec env XDG_RUNTIME_DIR="/run/user/$(id -u)" "$@"'
    return ["runuser", "-u", studio.host.user, "--", "sh", "-c", script, "sh"]


def storage_flags(data: str) -> list[str]:
    """The throw-away VictoriaMetrics: on the loopback address alone, it scrapes nothing."""
    return [f"-storageDataPath={data}", "-retentionPeriod=100y", "-httpListenAddr=127.0.0.1:{port}"]


def vmalert_flags(studio: Studio, source: str, files: str, points: int = POINTS) -> list[str]:
    """vmalert without a notifier: it reads the studio's storage, and writes to the throw-away one alone."""
    return [
        f"-rule={files}/*.yml",
        f"-datasource.url={source}",
        "-remoteWrite.url=http://127.0.0.1:{port}",
        f"-external.label=studio={studio.name}",
        f"-replay.maxDatapointsPerQuery={points}",
        "-replay.rulesDelay=0s",
        "-replay.disableProgressBar",
    ]


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def question(studio: Studio, begin: datetime, end: datetime, url: str | None = None) -> dict[str, Any]:
    """The question for studio/replay/on_host.py: which alerts would have fired.

    Args:
        url: another VictoriaMetrics, as the host reaches it; the studio's own when None.
    """
    return {
        **_question(studio, begin, end, url or _storage(studio), POINTS),
        "rules": {f"{name}.yml": text for name, text in rule_files(studio, rules.groups(studio)).items()},
        "keep": None,
    }


def backfill(studio: Studio, begin: datetime, end: datetime) -> dict[str, Any]:
    """The question for it about the recorded series: they go into the studio's storage where they are missing."""
    return {
        **_question(studio, begin, end, _storage(studio), POINTS_RECORDED),
        "rules": {f"{recorded.GROUP}.yml": recorded.rule_file(studio)},
        "keep": {
            "series": recorded.names(),
            "match": f"studio={metricsql(studio.name)}",
            "seconds": EVERY_SECONDS,
            "lock": LOCK,
        },
    }


def _storage(studio: Studio) -> str:
    return f"http://127.0.0.1:{studio.ports.victoriametrics}"


def _question(studio: Studio, begin: datetime, end: datetime, source: str, points: int) -> dict[str, Any]:
    """What both ask: where, when, and by which containers."""
    data = "/victoria-metrics-data"
    storage = _podman(
        studio,
        "replay-storage",
        studio.images.victoriametrics,
        f"--entrypoint={victoriametrics.PROGRAM}",
        f"--tmpfs={data}:rw,size=256m",
    )
    judge = _podman(
        studio,
        "replay-vmalert",
        studio.images.vmalert,
        f"--entrypoint={vmalert.PROGRAM}",
        "--volume={folder}/rules:/rules:ro",
    )
    return {
        "source": source,
        "match": f"{{studio={metricsql(studio.name)}}}",
        "storage": [*storage, *storage_flags(data)],
        "vmalert": [*judge, *vmalert_flags(studio, source, "/rules", points)],
        "cleanup": [*_as_account(studio), "podman", "rm", "--force", "--ignore", "replay-storage-{port}"],
        "from": rfc3339(begin),
        "to": rfc3339(end),
    }
