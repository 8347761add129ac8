"""hostctl's parts: lock, ports, accounts' ranges, extension, broker accounts, what podman and systemd answer."""

import base64
import fcntl
import hashlib
import io
import json
import multiprocessing
import signal
import socket
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from hostctl_support import manifest

from hostctl import broker, cli, credentials, extension, links, lock, packages, podman, ports, services, system, vault
from hostctl.account import free_range
from hostctl.errors import BUSY, HostError
from hostctl.paths import Paths
from hostctl.run import Account

WHO = Account("studio", 1001, 1001, "/home/studio")


def test_a_held_lock_says_who_holds_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    second = lock.locked(paths, "restart of vector", wait=False)
    with lock.locked(paths, "deploy: restart"), pytest.raises(HostError, match="deploy: restart") as error, second:
        pass
    assert error.value.code == BUSY


def test_two_services_are_restarted_at_once_but_none_twice_and_none_during_a_deploy(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    with lock.restarting(paths, "vector"), lock.restarting(paths, "vmalert"):
        with pytest.raises(HostError, match="restart of vector") as error, lock.restarting(paths, "vector"):
            pass
        assert error.value.code == BUSY
        with pytest.raises(HostError), lock.locked(paths, "deploy", wait=False):
            pass
    late = lock.restarting(paths, "vector")
    with lock.locked(paths, "deploy: restart"), pytest.raises(HostError, match="deploy: restart"), late:
        pass


def _hold(path: str, ready: "multiprocessing.synchronize.Event") -> None:
    with Path(path).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ready.set()
        ready.wait()
        multiprocessing.Event().wait()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.lock.parent.mkdir()
    ready = multiprocessing.Event()
    holder = multiprocessing.Process(target=_hold, args=(str(paths.lock), ready))
    holder.start()
    assert ready.wait(10)
    with pytest.raises(HostError), lock.locked(paths, "x", wait=False):
        pass
    holder.kill()
    holder.join()
    with lock.locked(paths, "x", wait=False):
        pass


def test_a_taken_port_names_its_program() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (found,) = ports.taken([port])
        assert found["port"] == port
        assert found["pid"] is not None
        assert "python" in found["program"] or "pytest" in found["program"]
    assert ports.taken([port]) == []


def test_a_free_range_of_ids_overlaps_with_nobody() -> None:
    assert free_range([]) == 100000
    assert free_range([[100000, 65536]]) == 165536
    assert free_range([[231072, 65536], [100000, 65536]]) == 165536
    assert free_range([[110000, 10]]) == 110010


def test_ranges_of_ids_are_found_by_name_and_by_number(tmp_path: Path) -> None:
    file = tmp_path / "subuid"
    file.write_text("studio:100000:65536\nother:165536:65536\n1001:300000:10\nrubbish\n")
    assert system.id_ranges("studio", 1001, file) == {
        "own": [[100000, 65536], [300000, 10]],
        "others": [[165536, 65536]],
    }
    assert system.id_ranges("studio", None, tmp_path / "none") == {"own": [], "others": []}


def test_what_a_killed_useradd_left_out_is_found(tmp_path: Path) -> None:
    who = Account("studio", 1001, 1001, str(tmp_path / "home"))
    (tmp_path / "shadow").write_text("studio2:!:1::::::\n")
    (tmp_path / "group").write_text("other:x:1001x:\n")
    assert system.broken_account(who, tmp_path) == ["shadow", "group", "home"]
    (tmp_path / "shadow").write_text("root:*:1::::::\nstudio:!:1::::::\n")
    (tmp_path / "group").write_text("studio:x:1001:\n")
    (tmp_path / "home").mkdir()
    assert system.broken_account(who, tmp_path) == []


def test_only_installed_packages_count(tmp_path: Path) -> None:
    file = tmp_path / "status"
    file.write_text(
        "Package: podman\nStatus: install ok installed\nVersion: 5.4.2+ds1-2\n\n"
        "Package: monit\nStatus: deinstall ok config-files\nVersion: 1:5.34\n\n"
        "Package: podman-docker\nStatus: install ok installed\nVersion: 1\n"
    )
    assert system.packages(["podman", "monit", "crun"], file) == {"podman": "5.4.2+ds1-2"}


def test_a_repository_that_debian_has_not_got_is_added_with_its_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"a key")
    source = {
        "name": "grafana",
        "uri": "https://apt.example.org",
        "suite": "stable",
        "components": "main",
        "key_url": (tmp_path / "key").as_uri(),
    }
    packages.add_sources(Paths(tmp_path), manifest(apt_sources=[source]))
    assert (tmp_path / "etc/apt/keyrings/grafana.asc").read_bytes() == b"a key"
    text = (tmp_path / "etc/apt/sources.list.d/grafana.sources").read_text()
    assert "URIs: https://apt.example.org\n" in text
    assert "Signed-By: /etc/apt/keyrings/grafana.asc\n" in text


def archive(names: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, text in names.items():
            file.writestr(name, text)
    return out.getvalue()


GOOD = {f"{extension.NAME}/hivemq-extension.xml": "<x/>", f"{extension.NAME}/conf/credentials.xml": "<shipped/>"}


def test_the_extension_is_put_in_place_without_the_accounts_it_ships(tmp_path: Path) -> None:
    paths, source = Paths(tmp_path / "root"), tmp_path / "e.zip"
    source.write_bytes(archive(GOOD))
    wanted = manifest(extension={"url": source.as_uri(), "sha256": None})
    assert extension.install(paths, wanted)
    assert not extension.install(paths, wanted)
    folder = paths.extensions / extension.NAME
    assert list((folder / "conf").iterdir()) == []
    assert (folder / "hivemq-extension.xml").stat().st_mode & 0o777 == 0o644
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert extension.installed(paths) == {"url": source.as_uri(), "sha256": digest}
    assert [p.name for p in paths.marks.iterdir()] == ["hivemq"]


@pytest.mark.parametrize(
    ("content", "sha256", "text"),
    [
        (archive(GOOD), "0" * 64, "but the inventory wants"),
        (archive({**GOOD, "../evil": ""}), None, "only that folder"),
        (archive({**GOOD, f"{extension.NAME}/../../evil": ""}), None, "only that folder"),
        (archive({"other/x": ""}), None, "only that folder"),
        (b"no zip", None, "no zip archive"),
    ],
)
def test_a_wrong_extension_is_refused(tmp_path: Path, content: bytes, sha256: str | None, text: str) -> None:
    paths, source = Paths(tmp_path / "root"), tmp_path / "e.zip"
    source.write_bytes(content)
    with pytest.raises(HostError, match=text):
        extension.install(paths, manifest(extension={"url": source.as_uri(), "sha256": sha256}))
    assert extension.installed(paths) is None


def test_a_password_hash_is_the_one_that_the_extension_computes() -> None:
    hashed = broker.new_hash(b"secret", b"0123456789abcdef")
    salt, iterations, key = hashed.split(":")
    expected = hashlib.pbkdf2_hmac("sha512", b"secret", b"0123456789abcdef", int(iterations), 64)
    assert base64.b64decode(salt) == b"0123456789abcdef"
    assert base64.b64decode(key) == expected
    assert broker.matches(b"secret", hashed)
    assert not broker.matches(b"Secret", hashed)
    assert not broker.matches(b"secret", "")


USERS = [{"name": "a<b>&\"'", "hash": "c2FsdA==:10:a2V5", "roles": ["r]]>"]}]


def test_hostile_names_stay_data_in_the_accounts_of_hivemq() -> None:
    roles = [{"id": "r]]>", "permissions": [{"topic": "a/${{username}}/<x>", "activity": "PUBLISH"}]}]
    root = ET.fromstring(credentials.hivemq(USERS, roles))  # noqa: S314 - made here
    assert root.findtext("users/user/name") == "a<b>&\"'"
    assert root.findtext("users/user/roles/id") == "r]]>"
    assert root.findtext("roles/role/permissions/permission/topic") == "a/${{username}}/<x>"
    assert root.find("roles/role/permissions/permission/qos") is None


def test_mosquitto_gets_the_same_hash_in_its_own_form() -> None:
    assert credentials.mosquitto([{"name": "vector", "hash": "c2FsdA==:10:a2V5", "roles": []}]) == (
        b"vector:$7$10$c2FsdA==$a2V5\n"
    )


def test_a_containers_answer_is_found_by_its_label() -> None:
    answer = [
        {
            "ImageName": "localhost/vector:1",
            "Created": "2026-11-21T11:04:31.008182045+01:00",
            "State": {"Running": True, "Pid": 42, "Health": {"Status": "healthy"}},
            "Config": {
                "Labels": {"sensor-pipeline.component": "vector", "sensor-pipeline.hash": "ab"},
                "Secrets": [{"Name": "sensor-pipeline-broker-vector", "ID": "77"}],
            },
        },
        {"State": {"Running": True}, "Config": {"Labels": None}, "ImageName": "x", "Created": ""},
        {"State": {"Running": False}, "Config": {"Labels": {"sensor-pipeline.component": "hivemq"}}, "Created": ""},
    ]
    found = podman.parse_inspect(json.dumps(answer))
    assert list(found) == ["vector"]
    assert found["vector"]["secrets"] == {"broker-vector": "77"}
    assert found["vector"]["created"] == pytest.approx(1795255471.008, abs=0.01)
    assert podman.parse_inspect("rubbish") == {}


def test_only_this_products_secrets_are_seen() -> None:
    assert podman.parse_secrets("77 sensor-pipeline-broker-vector\n78 other\n") == {"broker-vector": "77"}


def test_the_answer_of_systemd_is_read_by_unit() -> None:
    text = "Id=a.service\nActiveState=active\n\nId=b.service\nActiveState=failed\nResult=x=y\n"
    assert services.parse_show(text) == {
        "a.service": {"Id": "a.service", "ActiveState": "active"},
        "b.service": {"Id": "b.service", "ActiveState": "failed", "Result": "x=y"},
    }


def test_links_that_lead_elsewhere_or_should_not_be_there_are_found_and_put_right(tmp_path: Path) -> None:
    paths, wanted = Paths(tmp_path), manifest()
    links.place(paths, wanted, WHO)
    assert links.wrong(paths, wanted, WHO) == []
    manager = paths.units / "user@1001.service.d" / "sensor-pipeline.conf"
    manager.write_text("[Service]\n")
    gone = paths.units / "alloy.service.d" / "sensor-pipeline.conf"
    gone.parent.mkdir()
    gone.symlink_to(paths.current / "systemd/alloy.service.d/sensor-pipeline.conf")
    paths.quadlets(1001).unlink()
    paths.quadlets(1001).symlink_to("/elsewhere")
    assert links.wrong(paths, wanted, WHO) == sorted([str(gone), str(manager), str(paths.quadlets(1001))])
    links.place(paths, wanted, WHO)
    assert links.wrong(paths, wanted, WHO) == []
    assert not gone.parent.exists()


def test_the_accounts_folder_of_units_is_a_real_one_also_where_it_was_the_link_before(tmp_path: Path) -> None:
    paths, wanted = Paths(tmp_path), manifest()
    (paths.current / "quadlets").mkdir(parents=True)
    own = tmp_path / "etc/containers/systemd/users/1001"
    own.parent.mkdir(parents=True)
    own.symlink_to(paths.current / "quadlets")
    assert str(paths.quadlets(1001)) in links.wrong(paths, wanted, WHO)
    links.place(paths, wanted, WHO)
    assert links.wrong(paths, wanted, WHO) == []
    assert not own.is_symlink()
    assert (own / "sensor-pipeline").readlink() == paths.current / "quadlets"
    assert not list((paths.current / "quadlets").iterdir()), "nothing was put into the generation"


def test_a_drop_in_of_somebody_else_stays(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    other = paths.units / "monit.service.d" / "local.conf"
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\n")
    links.place(paths, manifest(), WHO)
    links.place(paths, manifest(files={}), WHO)
    assert other.exists()
    assert not (other.parent / "sensor-pipeline.conf").is_symlink()


def test_a_secret_is_new_when_its_value_is_another_one() -> None:
    record = {"salt": "00ff", "hash": vault.fingerprint("value", "00ff"), "id": "1"}
    assert not vault.is_new("value", record)
    assert vault.is_new("Value", record)
    assert vault.is_new("value", None)
    assert vault.is_new("value", {**record, "unset": True})


def test_generated_passwords_have_256_bits_and_never_repeat() -> None:
    made = {vault.new_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(base64.urlsafe_b64decode(password + b"=")) == 32 for password in made)


def test_a_full_disk_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "/var/lib/sensor-pipeline/state/history.json")

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setitem(cli.COMMANDS, "status", full)
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().err == (
        "hostctl: [Errno 28] No space left on device: '/var/lib/sensor-pipeline/state/history.json'; "
        "once that is mended, deploy again: it goes on from what is there\n"
    )


def test_who_is_not_root_is_told_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli.main(["status"]) == 2
    assert capsys.readouterr().err == "hostctl: it is for root alone: sudo hostctl ...\n"
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN, (
        "a pipe without reader may end the program, not its caller"
    )
