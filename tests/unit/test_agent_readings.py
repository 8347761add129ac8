"""The agent's readings: from a program, from a file, simulated; what is no reading is refused with its reason."""

import os
import resource
import time
import tracemalloc
from pathlib import Path

import pytest

from agent import source
from agent.settings import Source


def test_a_reading_from_a_program() -> None:
    reading = source.read(Source(command=("echo", '{"temp_max": 511.5, "temp_min": -3}')), 10)
    assert reading == {"temp_max": 511.5, "temp_min": -3}


def test_a_reading_from_a_file_and_none_from_one_that_nobody_writes_any_more(tmp_path: Path) -> None:
    path = tmp_path / "reading.json"
    path.write_text('{"temp_max": 1}')
    assert source.read(Source(file=path), 10) == {"temp_max": 1}
    os.utime(path, (time.time() - 100, time.time() - 100))
    with pytest.raises(source.ReadingError, match="was last written 100 s ago"):
        source.read(Source(file=path), 10)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("sh", "-c", "echo broken >&2; exit 3"), "the command ended with 3: broken"),
        (("/nonexistent",), "the program /nonexistent is not there"),
        (("/etc/passwd",), "the program /etc/passwd may not be run"),
        (("echo", "511.5"), "must be an object"),
        (("echo", "{}"), "a reading has 1 to 50 values, this one has 0"),
        (("echo", '{"temp_max": "hot"}'), "temp_max must be a number, it is text"),
        (("echo", '{"temp_max": true}'), "temp_max must be a number, it is true or false"),
        (("echo", '{"temp_max": 2001}'), "temp_max is 2001 °C, which is not between -50 and 2000"),
        (("echo", '{"temp_max": NaN}'), "NaN is not a number"),
        (("echo", f'{{"temp_max": 1{"0" * 400}}}'), "the number 10000000000000000000 is too large"),
        (("echo", f'{{"temp_max": 1{"0" * 5000}}}'), "the number 10000000000000000000 is too large"),
        (("echo", '{"ts": 1}'), '"ts" is not a name of a value'),
    ],
)
def test_a_bad_reading_is_refused_with_its_reason(command: tuple[str, ...], told: str) -> None:
    with pytest.raises(source.ReadingError, match=told.replace("(", r"\(")):
        source.read(Source(command=command), 10)


def test_a_program_that_hangs_is_ended_long_before_the_watchdog_would_end_the_agent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert source.LONGEST < 120
    monkeypatch.setattr(source, "LONGEST", 0.2)
    with pytest.raises(source.ReadingError, match=r"timeout: killed after 0\.2 s"):
        source.read(Source(command=("sleep", "30")), 3600)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("cat /dev/zero", "the command printed more than 65536 bytes and was ended"),
        ("cat /dev/zero >&2", r"timeout: killed after 0\.5 s"),
    ],
)
def test_a_program_that_prints_endlessly_is_ended_and_what_it_prints_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    monkeypatch.setattr(source, "LONGEST", 0.5)
    tracemalloc.start()
    try:
        with pytest.raises(source.ReadingError, match=told):
            source.read(Source(command=("sh", "-c", script)), 10)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


def test_what_a_program_leaves_running_does_not_hold_its_reading_back() -> None:
    script = """sleep 600 & echo '{"temp_max": 1}'"""
    assert source.read(Source(command=("sh", "-c", script)), 10) == {"temp_max": 1}


def test_what_a_program_said_at_last_is_told_when_it_fails() -> None:
    script = "head -c 100000 /dev/zero | tr '\\0' x >&2; echo no lens >&2; exit 4"
    with pytest.raises(source.ReadingError, match=r"the command ended with 4: x{150,200}no lens$"):
        source.read(Source(command=("sh", "-c", script)), 10)


def test_without_file_descriptors_there_is_no_reading_until_there_are_some_again() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Path(os.devnull).open() as lowest:
        free = lowest.fileno()
    refused = 0
    try:
        for left in range(100):
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + left, before[1]))
            try:
                source.read(Source(command=("echo", '{"temp_max": 1}')), 10)
                break
            except source.ReadingError:
                refused += 1
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert 0 < refused < 100


def test_a_reading_file_that_is_missing_or_no_file_is_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "reading.json"
    with pytest.raises(source.ReadingError) as caught:
        source.read(Source(file=path), 10)
    assert str(caught.value) == f"{path} is not there: nobody has written a reading yet"
    os.mkfifo(path)
    with pytest.raises(source.ReadingError, match="is not a regular file"):
        source.read(Source(file=path), 10)


def test_a_reading_file_from_the_future_is_as_old_as_one_from_the_past(tmp_path: Path) -> None:
    path = tmp_path / "reading.json"
    path.write_text('{"temp_max": 500}')
    assert source.read(Source(file=path), 10) == {"temp_max": 500}
    for away, told in (
        (-3600, r"was last written 3\d{3} s ago"),
        (3600, r"is dated 3\d{3} s ahead of this device's clock"),
    ):
        os.utime(path, (time.time() + away,) * 2)
        with pytest.raises(source.ReadingError, match=told):
            source.read(Source(file=path), 10)


def test_the_simulator_is_plausible_for_a_day() -> None:
    for second in range(0, 86400, 60):
        reading = source.checked(dict(source.simulated(second)))
        assert reading["temp_min"] < reading["temp_mean"] < reading["temp_max"]
