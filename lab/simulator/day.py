"""A bad day of a studio, and what its alerts must say of it."""

from dataclasses import dataclass
from typing import Final

from lab.simulator.life import DAY, HOUR, Life, Value, clean_life
from studio.model import Studio

MINUTE: Final = 60
FLAME_OUT: Final = 10.5 * HOUR
STUCK: Final = 13 * HOUR
FILLING: Final = 15 * HOUR
JUMP: Final = 18 * HOUR
JUMP_SECONDS: Final = 90
RESTART: Final = 3 * HOUR
ORDERED: Final = 20 * HOUR
CAMERA: Final = 21 * HOUR


@dataclass(frozen=True)
class Expected:
    """An alert about something that begins to fire between two seconds of the day."""

    alert: str
    about: str
    earliest: float
    latest: float


EXPECTED: Final = (
    Expected("HostRestarted", "instance=127.0.0.1:9100, job=node_exporter", RESTART, RESTART + 3 * MINUTE),
    *(
        Expected("ServiceRestarted", f"instance=127.0.0.1:{job}, job={job}", RESTART, RESTART + 3 * MINUTE)
        for job in ("vector", "vmalert", "victoriametrics", "alertmanager", "node_exporter", "hub")
    ),
    Expected("FlameOut", "furnace=main", FLAME_OUT + 60, FLAME_OUT + 3 * MINUTE),
    Expected("FurnaceTempFallingFast", "furnace=main", FLAME_OUT + 3 * MINUTE, FLAME_OUT + 8 * MINUTE),
    Expected("FurnaceTempLow", "furnace=main", FLAME_OUT + 8 * MINUTE, FLAME_OUT + 15 * MINUTE),
    Expected("SensorStuck", "furnace=glory-hole", STUCK + 35 * MINUTE, STUCK + 45 * MINUTE),
    Expected("DiskFills24h", "device=/dev/mmcblk0p2, fstype=ext4, instance=127.0.0.1:9100, job=node_exporter, "
             "mountpoint=/", FILLING + HOUR, FILLING + 2.4 * HOUR),
    Expected("DiskAlmostFull", "device=/dev/mmcblk0p2, fstype=ext4, instance=127.0.0.1:9100, job=node_exporter, "
             "mountpoint=/", FILLING + 2 * HOUR, FILLING + 3 * HOUR),
    Expected("ClockJumped", "instance=127.0.0.1:9100, job=node_exporter", JUMP, JUMP + 4 * MINUTE),
    Expected("ServiceRestarted", "instance=127.0.0.1:vmalert, job=vmalert", ORDERED, ORDERED + MINUTE),
    Expected("CameraNoData", "camera=annealer-eye", CAMERA + 10 * MINUTE, CAMERA + 13 * MINUTE),
)  # fmt: skip


def _host_restarts(life: Life) -> None:
    """A minute and a half without anything; then all parts, and the host, are young, and their counters begin anew."""
    life.trouble(lambda _: True, RESTART, RESTART + 90, lambda *_: None)
    after = RESTART + 90
    life.trouble(lambda name: name.startswith("start "), after, DAY, lambda *_: after)
    life.trouble(lambda name: name == "uptime", after, DAY, lambda at, _: at - after)
    life.trouble(lambda name: name == "boot", after, DAY, lambda *_: 1e9 + after - 20)
    counters = {"received", "sent", "requests", "runs", "failed runs", "dead letters", "5xx", "waits"}
    for name, series in life.series.items():
        if name in counters or name.startswith("idle"):
            series.value = _anew(series.value, after)


def _anew(value: Value, begin: float) -> Value:
    """A counter that begins anew at a moment."""
    gone = value(begin) or 0.0

    def counted(at: float) -> float | None:
        was = value(at)
        return was - gone if was is not None and at >= begin else was

    return counted


def _flame_goes_out(life: Life) -> None:
    """For twelve minutes; the furnace loses 11 °C a minute, and has it back within half an hour."""
    end = FLAME_OUT + 12 * MINUTE
    life.trouble(lambda name: name == "flame main", FLAME_OUT, end, lambda *_: 0.05)
    life.trouble(lambda name: name == "temp main", FLAME_OUT, end, lambda at, was: was - 11 * (at - FLAME_OUT) / 60)
    back = 30 * MINUTE
    life.trouble(lambda name: name == "temp main", end, end + back, lambda at, was: was - 132 * (1 - (at - end) / back))


def _disk_fills(life: Life) -> None:
    """From 22 GB to 1 GB of 30 in two and a half hours; somebody makes room at half past seven."""
    full, clean = FILLING + 2.5 * HOUR, FILLING + 4.5 * HOUR
    life.trouble(
        lambda name: name == "disk", FILLING, full, lambda at, was: was - 20.7e9 * (at - FILLING) / (full - FILLING)
    )
    life.trouble(lambda name: name == "disk", full, clean, lambda *_: 1e9)


def _clock_jumps(life: Life) -> None:
    """Forward: nothing is stored for the time that is skipped, and the time of boot moves."""
    life.trouble(lambda _: True, JUMP, JUMP + JUMP_SECONDS, lambda *_: None)
    life.trouble(lambda name: name == "boot", JUMP, DAY, lambda _, was: was + JUMP_SECONDS)
    life.trouble(lambda name: name == "sync", JUMP, JUMP + 10 * MINUTE, lambda *_: 0.0)


def bad_day(studio: Studio) -> Life:
    """The host restarts at night; after heating up and gathering the main furnace's flame goes out; the glory hole's
    sensor is stuck; the disk fills up; the clock jumps; vmalert is restarted; a camera falls silent."""
    life = clean_life(studio)
    _host_restarts(life)
    _flame_goes_out(life)
    held = life.series["temp glory-hole"].value(STUCK)
    life.trouble(lambda name: name == "temp glory-hole", STUCK, STUCK + 1.5 * HOUR, lambda *_: held)
    _disk_fills(life)
    _clock_jumps(life)
    life.trouble(lambda name: name == "start vmalert", ORDERED, DAY, lambda *_: ORDERED)
    life.trouble(lambda name: name.startswith("camera "), CAMERA, CAMERA + 30 * MINUTE, lambda *_: None)
    return life
