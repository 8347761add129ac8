"""The lab's pure parts: ports, names, the cache's keys, the mirror, the lock file's entries."""

import os
from pathlib import Path

import pytest

from lab import cache, demo, state
from lab.catalogue import IMAGES
from lab.debian import mirror_from
from lab.host import LabHost
from lab.ports import GUEST_PORTS, HOSTS, claim, claimed, free_index, port_map
from lab.python_env import pins
from lab.run import LabError, locked
from studio.model import load_studio


def test_no_two_hosts_share_a_port_and_all_are_unprivileged() -> None:
    ports = [port for index in HOSTS for port in port_map(index).values()]
    assert len(ports) == len(set(ports)) == len(HOSTS) * len(GUEST_PORTS)
    assert 1024 < min(ports) <= max(ports) < 32768, "below the ports that the kernel gives to outgoing connections"


def test_a_host_gets_the_lowest_number_whose_ports_are_free() -> None:
    busy = port_map(2)[22]
    assert free_index(set(), lambda port: True) == 1
    assert free_index({1}, lambda port: port != busy) == 3


def test_no_free_block_is_said_to_a_person() -> None:
    with pytest.raises(LabError, match="stop a host first"):
        free_index(set(), lambda port: False)


def test_a_number_is_claimed_on_the_whole_machine_as_long_as_its_host_exists(tmp_path: Path) -> None:
    host, claims = tmp_path / "host", tmp_path / "claims"
    host.mkdir()
    assert claimed(claims) == set()
    claim(3, host, claims)
    claim(4, tmp_path / "gone", claims)
    assert claimed(claims) == {3}
    host.rmdir()
    assert claimed(claims) == set()


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "../x", "a/b", "a" * 32, "a b", "-a"])
def test_a_name_that_could_be_a_path_or_an_option_is_refused(name: str) -> None:
    with pytest.raises(LabError, match="cannot be a host's name"):
        state.checked_name(name)


def test_state_survives_being_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    known = state.HostState("studio", 7, "/base", "/venv", "lab", "deployed")
    assert state.load("studio") is None
    state.save(known)
    assert state.load("studio") == known
    assert state.names() == ["studio"]
    assert known.address == "10.77.0.7"


def test_a_process_is_not_mistaken_for_a_later_one_with_its_number() -> None:
    me = state.Process.of(os.getpid())
    assert me is not None
    assert me.alive()
    assert not state.Process(me.pid, me.start + 1).alive()


def test_a_key_follows_names_content_modes_and_links(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    keys = [cache.key_of([tree])]
    for change in (
        lambda: (tree / "a").write_text("x"),
        lambda: (tree / "a").chmod(0o755),
        lambda: (tree / "a").rename(tree / "b"),
        lambda: (tree / "link").symlink_to("nowhere"),
        lambda: [(tree / "link").unlink(), (tree / "link").symlink_to("elsewhere")],
    ):
        change()
        keys.append(cache.key_of([tree]))
    assert len(set(keys)) == len(keys)
    assert cache.key_of(["ab", "c"]) != cache.key_of(["a", "bc"])


def test_what_is_built_once_is_not_built_again_and_half_built_never_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    made: list[Path] = []

    def make(target: Path) -> None:
        made.append(target)
        target.write_text("half")
        if len(made) == 1:
            raise LabError("killed")
        target.write_text("whole")

    with pytest.raises(LabError, match="killed"):
        cache.cached("thing", "a thing", ["x"], make)
    built = cache.cached("thing", "a thing", ["x"], make)
    assert cache.cached("thing", "a thing", ["x"], make) == built
    assert built.read_text() == "whole"
    assert len(made) == 2
    cache.prune("thing", [])
    assert not built.exists()


def test_leftovers_go_but_not_what_another_build_is_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_DIR", str(tmp_path))
    stale, busy = (cache.cache_dir() / f".building-layer-{digit * 16}" for digit in "ab")
    for path in (stale, busy):
        path.mkdir(parents=True)
    with locked(cache.cache_dir() / ".locks" / f"layer-{'b' * 16}"):
        cache.prune_unfinished()
    assert not stale.exists()
    assert busy.exists()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "debian.sources",
            "Types: deb\n# a note\nURIs: http://mirror.example/debian/\n"
            "Suites: bookworm bookworm-updates\nComponents: main\n",
        ),
        ("sources.list", "deb [signed-by=/x.gpg] http://mirror.example/debian bookworm main contrib\n"),
        ("sources.list", "# deb http://no.example/ bookworm main\ndeb http://mirror.example/debian bookworm main\n"),
    ],
)
def test_the_mirror_is_the_one_this_machine_uses(name: str, text: str) -> None:
    other = {
        "a.list": "deb https://packages.example/apt tool main\n",
        "b.sources": "URIs: http://b.example\nSuites: x\n",
    }
    assert mirror_from({**other, name: text}, "bookworm") == "http://mirror.example/debian"
    with pytest.raises(LabError, match="names a mirror for bookworm"):
        mirror_from(other, "bookworm")


def test_entries_of_the_lock_file_keep_hashes_and_conditions() -> None:
    lock = (
        "a==1 \\\n    --hash=sha256:1\n"
        "ab==2 ; python_version < '3.12' \\\n    --hash=sha256:2\n"
        "ab==3 ; python_version >= '3.12' \\\n    --hash=sha256:3\n"
    )
    assert pins(lock, ["a"]) == "a==1 \\\n    --hash=sha256:1\n"
    assert pins(lock, ["ab"]).count("--hash") == 2
    with pytest.raises(LabError, match="does not pin zz"):
        pins(lock, ["a", "zz"])


def test_what_is_a_stand_in_says_so_in_its_name() -> None:
    assert "standin" in IMAGES["vector"].reference
    assert {image.reference.rpartition(":")[0] for image in IMAGES.values()} == {
        f"localhost/lab/{name}"
        for name in ("victoriametrics", "vmalert", "alertmanager", "mosquitto", "hivemq", "vector-standin", "python")
    }


def test_the_demo_says_what_each_next_step_is_for_in_one_column(capsys: pytest.CaptureFixture[str]) -> None:
    demo.show_next(LabHost(demo.NAME), load_studio("lab"))
    said = capsys.readouterr().out.splitlines()
    explained = [(line, why) for line in said for _, why in demo.NEXT if why and line.endswith(f"  {why}")]
    assert len(explained) == len([why for _, why in demo.NEXT if why])
    assert len({line.index(why) for line, why in explained}) == 1


def test_the_demo_names_no_page_that_has_lost_its_style_sheet() -> None:
    """Debian's vmalert answers its own pages without one."""
    assert [path for port, path in demo.PAGES.values() if port == 8880] == ["/api/v1/alerts"]
