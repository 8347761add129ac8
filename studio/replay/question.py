"""What a studio's host is asked to replay: rules, period, and the containers that do it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from dashboards.recorded import EVERY_SECONDS
from studio.model import Studio
from studio.render import recorded, rules, victoriametrics, vmalert
from studio.render.escape import metricsql
from studio.render.vmalert import rule_files

POINTS: Final = 20_000
"""Of the 30,000 that VictoriaMetrics gives in one answer at most; a stretch of alerts has less."""
QUEUED: Final = 500_000
"""What vmalert may keep until the throw-away storage has it: a stretch of some ten alerts that fire all the time."""
STRETCH: Final = timedelta(days=1)
LONGEST_HOLD: Final = timedelta(hours=1)
"""No alert's `for` is longer."""
POINTS_RECORDED: Final = 720
"""A day of recorded series: a question that a small host can answer."""
WATCHDOG: Final = "Watchdog"
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
        f"-remoteWrite.maxQueueSize={QUEUED}",
        f"-external.label=studio={studio.name}",
        f"-replay.maxDatapointsPerQuery={points}",
        "-replay.rulesDelay=0s",
        "-replay.disableProgressBar",
    ]


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def stretches(begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The time in parts, each for a vmalert of its own, which ends when all that it has found is stored.

    All but the first begin early enough for a `for` that began in the one before.
    """
    first = begin
    while first < end:
        yield max(begin, first - LONGEST_HOLD), min(first + STRETCH, end)
        first += STRETCH


def _judged(studio: Studio) -> dict[str, list[dict[str, Any]]]:
    """The rules of a studio but the watchdog: what fires always is nothing to tell, and much to store."""
    found = rules.groups(studio)
    return {group: [rule for rule in own if rule.get("alert") != WATCHDOG] for group, own in found.items()}


def question(studio: Studio, begin: datetime, end: datetime, url: str | None = None) -> dict[str, Any]:
    """The question for studio/replay/on_host.py: which alerts would have fired.

    Args:
        url: another VictoriaMetrics, as the host reaches it; the studio's own when None.
    """
    return {
        **_question(studio, begin, end, url or _storage(studio), POINTS),
        "rules": {f"{name}.yml": text for name, text in rule_files(studio, _judged(studio)).items()},
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
