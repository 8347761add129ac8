"""Run the checks and collect what they say."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pytest

from studio.model import Studio
from studio.verify.ask import facts
from studio.verify.expected import Expected
from studio.verify.facts import Facts

HERE: Final = Path(__file__).parent
Outcome = Literal["ok", "failed", "waiting"]
GROUPS: Final = ("host", "services", "network", "broker", "hub", "data", "monit", "files", "secrets")
PLACES: Final = ("generations", "journal", "command lines", "environments", "podman inspect", "units")
STRANGERS: Final = ("anonymous", "wrong password", "unknown account", "no password")
NAMED: Final[dict[str, Callable[[Expected], list[tuple[str, Any]]]]] = {
    "component": lambda e: [(c["name"], c) for c in e.components],
    "container": lambda e: [(c["name"], c) for c in e.containers],
    "with_url": lambda e: [(c["name"], c) for c in e.components if c["health_url"]],
    "listener": lambda e: [(c["name"], c) for c in e.components if c["listens"]],
    "reader": lambda e: [(a.name, a) for a in e.accounts if any(p.activity == "SUBSCRIBE" for p in a.permissions)],
    "account": lambda e: [(a.name, a) for a in e.accounts],
    "hub": lambda e: [(c["name"], c) for c in e.containers if c["name"] == "hub"],
    "secured": lambda e: [(purpose, purpose) for purpose in e.secured],
    "furnace": lambda e: [(f.id, f) for f in e.studio.furnaces],
    "place": lambda e: [(p, p) for p in PLACES],
    "stranger": lambda e: [(s, s) for s in STRANGERS],
}


class NothingDeployed(Exception):
    """The host has not even the account that a deploy makes; the message says what to do."""


@dataclass(frozen=True)
class Result:
    """What one check said about one subject (a component, an account, ...; empty when it is about the host)."""

    group: str
    check: str
    subject: str
    outcome: Outcome
    detail: str


class Plugin:
    """Gives the checks their facts and subjects, and collects their results."""

    def __init__(self, expected: Expected, found: dict[str, Any]) -> None:
        self._expected = expected
        self._found = Facts(found)
        self.results: list[Result] = []
        self.broken: list[str] = []

    @pytest.fixture
    def expected(self) -> Expected:
        return self._expected

    @pytest.fixture
    def facts(self) -> Facts:
        return self._found

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for name, subjects in NAMED.items():
            if name in metafunc.fixturenames:
                pairs = subjects(self._expected)
                metafunc.parametrize(name, [value for _, value in pairs], ids=[subject for subject, _ in pairs])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(str(report.longrepr))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and not report.failed:
            return
        file, _, called = report.nodeid.partition("::")
        name, _, subject = called.partition("[")
        outcome: Outcome = "ok" if report.passed else "waiting" if report.skipped else "failed"
        self.results.append(
            Result(
                group=Path(file).stem.removeprefix("checks_"),
                check=name.removeprefix("check_").replace("_", " "),
                subject=subject.removesuffix("]"),
                outcome=outcome,
                detail=_detail(report),
            )
        )


def _detail(report: pytest.TestReport) -> str:
    """The reason in the check's own words."""
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    message = str(crash.message if crash else report.longrepr)
    return message.removeprefix("AssertionError: ").removeprefix("Failed: ").strip()


def verify(studio: Studio, only: str | None = None) -> list[Result]:
    """Ask the studio's host, and judge its answer; raises NothingDeployed where there is nothing to judge."""
    expected = Expected.of(studio)
    found = facts(studio, expected.question())
    if not found["account"]["exists"]:
        raise NothingDeployed(f"{studio.name}: nothing is deployed on its host yet: studio deploy {studio.name}")
    return judge(expected, found, only)


def judge(expected: Expected, found: dict[str, Any], only: str | None = None) -> list[Result]:
    """What the checks (those with `only` in their name) say of a host's facts, in their order."""
    plugin = Plugin(expected, found)
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:logging", "--assert=plain", "--capture=no"]
    options += [f"--config-file={os.devnull}", f"--rootdir={HERE}", "--import-mode=importlib"]
    options += ["-o", "python_files=checks_*.py", "-o", "python_functions=check_*", *(["-k", only] if only else [])]
    with _alone():
        pytest.main([*options, str(HERE)], plugins=[plugin])
    if plugin.broken:
        raise RuntimeError("\n".join(plugin.broken))
    return sorted(plugin.results, key=lambda result: GROUPS.index(result.group))


@contextmanager
def _alone() -> Iterator[None]:
    """Without the plugins that happen to be installed: they cost time and may print."""
    before = os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        else:
            os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = before
