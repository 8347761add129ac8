"""The lab's hosts are real, apart from each other and from this machine, and leave nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import cgroup, network, paths, state
from lab.host import LabHost
from lab.images import IMAGES
from lab.run import LabError

pytestmark = pytest.mark.lab
FIRST, SECOND = "test-lab-first", "test-lab-second"
SNAPSHOT = "test-lab-snapshot"


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[LabHost, LabHost]]:
    """Two hosts at once, both bare."""
    hosts = LabHost(FIRST), LabHost(SECOND)
    try:
        yield hosts[0].up(fresh=True), hosts[1].up(fresh=True)
    finally:
        for host in hosts:
            host.down()


def traces(name: str) -> list[str]:
    """What there is of a host on this machine: folder, namespace, control groups, mounts, processes."""
    found = [str(path) for path in (state.folder(name), network.NETNS / network.namespace(name)) if path.exists()]
    found += [str(root) for root in cgroup.hierarchies() if (root / f"lab-{paths.tag()}" / name).exists()]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            mounts = (process / "mounts").read_text()
        except OSError:
            continue
        if f"hosts/{name}/" in mounts or (b"lab.keeper" in words and name.encode() in words):
            found.append(f"{process}: {b' '.join(words).decode(errors='replace')}")
    return found


def test_it_is_a_whole_debian_with_nothing_failed(pair: tuple[LabHost, LabHost]) -> None:
    host, _ = pair
    assert host.exec("systemctl is-system-running", check=False).stdout.strip() == "running"
    assert "VERSION_CODENAME=trixie" in host.read("/etc/os-release")
    assert host.exec("hostname").stdout.strip() == FIRST
    assert host.exec("command -v podman monit", check=False).returncode != 0, "the deploy installs these, not the lab"


def test_commands_get_their_input_and_give_back_their_exit_code(pair: tuple[LabHost, LabHost]) -> None:
    host, _ = pair
    assert host.exec(["cat"], stdin="in and out").stdout == "in and out"
    assert host.exec("exit 7", check=False).returncode == 7
    assert host.exec("id -un; sudo id -un", user="artist").stdout.split() == ["artist", "root"]
    with pytest.raises(LabError, match=rf"on {FIRST}: .*exit code 3(.|\n)*what went wrong"):
        host.exec("echo what went wrong >&2; exit 3")


def test_ssh_reaches_it_with_the_labs_key_only(pair: tuple[LabHost, LabHost]) -> None:
    host, _ = pair
    done = subprocess.run([*host.ssh_argv("artist"), "sudo", "id", "-u"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
    without = ["ssh", "-p", str(host.port(22)), "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
    without += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "IdentityFile=/dev/null"]
    refused = subprocess.run([*without, "root@127.0.0.1", "true"], capture_output=True, text=True, check=False)
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_two_hosts_reach_each_others_address_but_not_loopback(pair: tuple[LabHost, LabHost]) -> None:
    first, second = pair
    first.exec("systemd-run --unit=everywhere python3 -m http.server 8001 --bind 0.0.0.0")
    first.exec("systemd-run --unit=loopback python3 -m http.server 8002 --bind 127.0.0.1")
    get = "curl -s -o /dev/null --connect-timeout 2 --retry 20 --retry-connrefused --retry-delay 0"
    first.exec(f"{get} http://127.0.0.1:8001/ && {get} http://127.0.0.1:8002/")
    second.exec(f"{get} http://{first.address}:8001/")
    get = "curl -s -o /dev/null --connect-timeout 2"
    for place in (f"{first.address}:8002", "127.0.0.1:8001", "127.0.0.1:8002"):
        assert second.exec(f"{get} http://{place}/", check=False).returncode == 7, f"{place} must refuse"


def test_neither_this_machine_nor_the_world_is_on_its_network(pair: tuple[LabHost, LabHost]) -> None:
    host, _ = pair
    assert "default" not in host.exec("ip route").stdout
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True).stdout
    assert "host0" not in links
    assert "br0" not in links


def test_its_loopback_is_reached_through_this_machines(pair: tuple[LabHost, LabHost]) -> None:
    first, second = pair
    url = "http://127.0.0.1:{}/lab/records"
    argv = ["curl", "-s", "-f", "-o", "/dev/null", "-w", "%{http_code}"]
    for host in (first, second):
        done = subprocess.run([*argv, url.format(host.port(9911))], capture_output=True, text=True, check=False)
        assert done.stdout == "200"
    refused = subprocess.run([*argv, url.format(first.port(8428))], capture_output=True, text=True, check=False)
    assert refused.returncode != 0, "nothing listens there"
    with pytest.raises(LabError, match="not forwarded"):
        first.port(4)


def test_what_a_deploy_installs_is_there_without_a_network(pair: tuple[LabHost, LabHost]) -> None:
    host, _ = pair
    host.exec("apt-get install -y podman uidmap passt dbus-user-session monit prometheus-node-exporter acl")
    assert host.exec("podman --version").stdout.startswith("podman version 5.")
    host.exec("useradd --create-home studio && loginctl enable-linger studio")
    host.exec("timeout 20 sh -c 'until test -S /run/user/$(id -u studio)/bus; do sleep 0.1; done'")
    for component, image in IMAGES.items():
        as_studio = "runuser -u studio -- env -C / XDG_RUNTIME_DIR=/run/user/$(id -u studio) HOME=/home/studio podman"
        loaded = host.exec(f"{as_studio} load -q -i /var/lib/lab/images/{component}.tar").stdout
        assert image.reference in loaded
        host.exec(f"{as_studio} run --rm --network=host --entrypoint sh {image.reference} -c 'command -v wget'")
    assert (
        "true"
        in host.exec(f"{as_studio} info --format '{{{{index .Store.GraphStatus \"Native Overlay Diff\"}}}}'").stdout
    )


def test_a_reboot_keeps_files_and_memory_goes(pair: tuple[LabHost, LabHost]) -> None:
    host, _ = pair
    host.exec("echo kept > /root/kept; echo kept > /home/artist/kept; echo gone > /run/gone")
    before = host.exec("cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1").stdout
    host.reboot()
    assert host.exec("cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1").stdout != before
    assert host.exec("cat /root/kept /home/artist/kept").stdout.split() == ["kept", "kept"]
    assert host.exec("test -e /run/gone", check=False).returncode == 1
    assert host.exec("ip -br address show host0").stdout.split()[2] == f"{host.address}/24"


def test_it_comes_back_after_its_power_was_cut(pair: tuple[LabHost, LabHost]) -> None:
    host, other = pair
    host.exec("echo kept > /root/kept-too")
    host.cut_power()
    assert not host.running()
    with pytest.raises(LabError, match="is not running"):
        host.exec("true")
    assert other.running()
    host.up()
    assert host.read("/root/kept-too") == "kept\n"


def test_a_snapshot_is_where_another_host_begins(pair: tuple[LabHost, LabHost]) -> None:
    host, other = pair
    host.exec("echo before > /root/point; echo mine > /home/artist/mine; chown artist: /home/artist/mine")
    host.snapshot(SNAPSHOT)
    try:
        host.exec("echo after > /root/point")
        other.up(fresh=True, snapshot=SNAPSHOT)
        assert other.read("/root/point") == "before\n"
        assert other.exec("cat mine", user="artist").stdout == "mine\n"
        assert other.exec("hostname").stdout.strip() == SECOND
    finally:
        subprocess.run(["rm", "-rf", paths.snapshots_dir() / SNAPSHOT], check=True)
    with pytest.raises(LabError, match=f"no snapshot {SNAPSHOT}"):
        LabHost("test-lab-third").up(snapshot=SNAPSHOT)
    LabHost("test-lab-third").down()


@pytest.mark.parametrize("after", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
def test_up_killed_in_the_middle_is_made_good_by_the_next_one_and_down_leaves_nothing(after: float) -> None:
    host = LabHost("test-lab-killed")
    assert traces(host.name) == []
    with subprocess.Popen([sys.executable, "-m", "lab", "up", host.name], stderr=subprocess.DEVNULL) as process:
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
    try:
        host.up()
        assert host.exec("systemctl is-system-running", check=False).stdout.strip() == "running"
        assert traces(host.name) != [], "a running host is seen, else the check below could not fail"
    finally:
        host.down()
    assert traces(host.name) == []


@pytest.mark.parametrize("late", [0, 0.3], ids=["at once", "in the middle of the next command"])
@pytest.mark.parametrize("again", [True, False], ids=["up", "down"])
def test_a_host_whose_up_was_killed_right_after_it_began_the_host_is_still_known(
    tmp_path: Path, late: float, again: bool
) -> None:
    """The first thing that `up` starts kills it, and goes on by itself: nothing else knows of it yet."""
    unshare = tmp_path / "unshare"
    kill = f'case "$*" in *lab.keeper*) kill -9 $PPID; sleep {late};; esac'
    unshare.write_text(f'#!/bin/sh\n{kill}\nexec {shutil.which("unshare")} "$@"\n')
    unshare.chmod(0o755)
    host = LabHost("test-lab-killed")
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    killed = subprocess.run([sys.executable, "-m", "lab", "up", host.name], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    try:
        if again:
            host.up()
            assert host.exec("systemctl is-system-running", check=False).stdout.strip() == "running"
    finally:
        host.down()
    assert traces(host.name) == []
    time.sleep(2 * late)
    assert traces(host.name) == [], "what came late found nothing to do"


def test_down_of_what_is_not_there_is_fine_and_the_others_stay(pair: tuple[LabHost, LabHost]) -> None:
    host, _ = pair
    LabHost("test-lab-never").down()
    assert traces("test-lab-never") == []
    assert host.running()
