"""monit's control file: its bounds are the alerts' own, and it sees what ends the alerting itself."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from studio.model import load_studio
from studio.render import render
from studio.render.catalogue import threshold

MONITRC = render(load_studio("lab")).files["monit/monitrc"].content.decode()


def test_it_judges_memory_and_disk_by_the_bounds_of_the_alerts() -> None:
    used = {what: float(percent) / 100 for what, percent in re.findall(r"if (\w+) usage > ([\d.]+)% for", MONITRC)}
    disk, memory = (round(1 - threshold(name), 6) for name in ("DiskAlmostFull", "HostMemoryLow"))
    assert used == {"memory": memory, "space": disk, "inode": disk}


@pytest.mark.parametrize(("options", "code"), [("rw", 0), ("ro", 1)])
def test_it_finds_a_disk_that_became_read_only(options: str, code: int, tmp_path: Path) -> None:
    checks = dict(re.findall(r'^check program (\S+) with path "(.*?)"', MONITRC, re.MULTILINE))
    *words, path = shlex.split(checks["root-filesystem-writable"])
    assert path == "/var/lib/sensor-pipeline", "monit's unit may write to it, so only the disk can be in the way"
    mapped = [] if os.getuid() == 0 else ["--map-root-user"]
    mounted = f'mount -t tmpfs none "$0" && mount -o remount,{options} "$0" && exec "$@"'
    argv = ["unshare", "--mount", *mapped, "sh", "-c", mounted, str(tmp_path), *words, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
