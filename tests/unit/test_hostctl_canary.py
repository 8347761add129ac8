"""What monit is told of the way from the broker to the storage: status 1 has Vector restarted, 3 has not."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hostctl import check, manifest
from hostctl.errors import HostError


def told(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    *,
    age: float,
    received: tuple[float | None, float | None],
    **up: bool,
) -> int:
    """The exit code, where the newest canary is `age` seconds old; `received` before and after one was sent."""
    answers, secrets = iter(received), folder / "secrets"
    secrets.mkdir()
    (secrets / "broker-monit").write_text("x")
    wanted = SimpleNamespace(studio="lab", facts={"canary_topic": "canary/lab"})
    monkeypatch.setattr(manifest, "current", lambda _: wanted)
    monkeypatch.setattr(check, "publish", lambda *_: None)
    monkeypatch.setattr(check, "ARRIVAL_SECONDS", 0)
    monkeypatch.setattr(check, "newest", lambda *_: (time.time() - age, time.time()))
    monkeypatch.setattr(check, "_received", lambda _: next(answers))
    monkeypatch.setattr(check, "_healthy", lambda _, component: up.get(component, True))
    paths: Any = SimpleNamespace(secrets=secrets)
    try:
        check.canary(paths)
    except HostError as error:
        return error.code
    return 0


def test_a_canary_that_arrives_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert told(monkeypatch, tmp_path, age=5, received=(7, 7)) == 0


def test_a_vector_that_answers_and_receives_nothing_is_restarted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert told(monkeypatch, tmp_path, age=90, received=(7, 7)) == 1


def test_a_vector_that_receives_is_left_to_catch_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert told(monkeypatch, tmp_path, age=90, received=(7, 8)) == check.NO_CURE


@pytest.mark.parametrize("received", [(None, None), (None, 0), (0, 0)])
def test_a_vector_that_is_down_or_just_starting_is_not_started_a_second_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, received: tuple[float | None, float | None]
) -> None:
    assert told(monkeypatch, tmp_path, age=90, received=received, vector=False) == check.NO_CURE


def test_a_storage_that_is_away_is_no_fault_of_vector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert told(monkeypatch, tmp_path, age=90, received=(7, 7), victoriametrics=False) == check.NO_CURE
