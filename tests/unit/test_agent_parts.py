"""The agent's small parts: names, readings, errors, the status, log lines."""

import errno
import io
import json
from pathlib import Path

import pytest

from agent import cli, config, durable, errors, identity, logs, mqtt, provision, status
from agent.credentials import Credentials


def system(tmp_path: Path, serial: bytes | None = None, **cards: str) -> Path:
    if serial is not None:
        (tmp_path / "proc/device-tree").mkdir(parents=True)
        (tmp_path / "proc/device-tree/serial-number").write_bytes(serial)
    for name, address in cards.items():
        (tmp_path / "sys/class/net" / name / "device").mkdir(parents=True)
        (tmp_path / "sys/class/net" / name / "address").write_text(address + "\n")
    (tmp_path / "sys/class/net/lo").mkdir(parents=True, exist_ok=True)
    (tmp_path / "sys/class/net/lo/address").write_text("00:00:00:00:00:00\n")
    return tmp_path


def test_a_board_is_named_after_its_serial_number(tmp_path: Path) -> None:
    root = system(tmp_path, b"10000000A1B2C3\0", eth0="b8:27:eb:11:22:33")
    serial = identity.serial_number(root)
    assert serial == "10000000a1b2c3"
    assert identity.complete("thermal-camera-XXXXXX", serial, 0) == "thermal-camera-a1b2c3"


def test_without_a_serial_number_it_is_the_mac_address_of_the_first_real_card(tmp_path: Path) -> None:
    root = system(tmp_path, b"0000000000000000\0", wlan0="b8:27:eb:11:22:33", eth0="b8:27:eb:aa:bb:cc")
    assert identity.serial_number(root) == "b827ebaabbcc"


@pytest.mark.parametrize("address", ["02:42:ac:11:00:02", "00:00:00:00:00:00", "not an address", ""])
def test_an_address_that_is_made_up_names_nothing(tmp_path: Path, address: str) -> None:
    assert identity.serial_number(system(tmp_path, eth0=address)) is None


def test_a_thousand_neighbouring_serial_numbers_have_a_thousand_names() -> None:
    names = {identity.complete("thermal-camera-XXXXXX", f"{0xB827EB000000 + n:x}", 0) for n in range(1000)}
    assert len(names) == 1000


def test_later_names_differ_and_are_the_same_every_time() -> None:
    names = [identity.suffix("b827ebaabbcc", n) for n in range(3)]
    assert len(set(names)) == 3
    assert names == [identity.suffix("b827ebaabbcc", n) for n in range(3)]
    assert all(len(name) == 6 for name in names)


def test_tokens_are_thirty_two_letters_and_digits_and_never_the_same() -> None:
    tokens = {identity.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) == 32 and token.isalnum() for token in tokens)


def test_credentials_do_not_show_their_secret() -> None:
    assert "hidden" not in repr(Credentials("ACCESS_TOKEN", "eye", "hidden"))
    assert "hidden" not in repr(Credentials("ACCESS_TOKEN", "eye", "hidden").login)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, errors.DiskError),
        (errno.EDQUOT, errors.DiskError),
        (errno.EIO, errors.DiskError),
        (errno.EROFS, errors.PermissionsError),
        (errno.EACCES, errors.PermissionsError),
        (errno.EPERM, errors.PermissionsError),
        (errno.ENOTDIR, errors.InputError),
        (errno.EISDIR, errors.InputError),
    ],
)
def test_each_fault_of_a_disk_is_of_its_kind(number: int, kind: type[errors.AgentError]) -> None:
    error = errors.of_os(OSError(number, "told"), Path("/a/b"), "write it")
    assert isinstance(error, kind)
    assert error.message == "/a/b: cannot write it: told"


def test_every_kind_has_an_exit_code_and_a_word_of_its_own() -> None:
    kinds = [errors.AgentError, *errors.AgentError.__subclasses__()]
    kinds = [k for k in kinds if k.__module__ == "agent.errors"]
    assert len({k.exit_code for k in kinds}) == len({k.kind for k in kinds}) == len(kinds)
    assert not {0, 2} & {k.exit_code for k in kinds}


def test_placing_a_file_keeps_the_mode_that_is_asked_for(tmp_path: Path) -> None:
    durable.place(tmp_path / "a", b"x", 0o640)
    durable.place(tmp_path / "a", b"y" * 100_000, 0o600)
    assert (tmp_path / "a").read_bytes() == b"y" * 100_000
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_new_credentials_replace_the_old_ones_and_nothing_else() -> None:
    old = {"lens": 1, "mqtt": {"kept": 2, "password": "old", "server": "old"}, "device_name": "old"}
    merged = config.merged(old, "eye", "studio", {"server": "new"})
    assert merged == {"lens": 1, "mqtt": {"kept": 2, "server": "new"}, "device_name": "eye", "platform": "studio"}
    assert old["device_name"] == "old"


# Status and log


def log() -> tuple[logs.Log, io.StringIO]:
    stream = io.StringIO()
    return logs.open_log("json", stream=stream), stream


def test_the_status_of_a_folder_through_its_life(tmp_path: Path) -> None:
    def phase(*, running: bool = False) -> tuple[str, bool]:
        told = status.describe(tmp_path, running=running)
        return told["phase"], told["interrupted"]

    assert phase() == ("none", False)
    (tmp_path / status.MARKER).touch()
    assert phase() == ("pending", False)
    attempt = status.StatusFile(tmp_path, "a", log()[0])
    attempt.set("in-progress", step="register")
    assert phase(running=True) == ("in-progress", False)
    assert phase() == ("in-progress", True)
    attempt.set("failed", error={"message": "m", "advice": "a"})
    assert phase() == ("failed", False)
    again = status.StatusFile(tmp_path, "b", log()[0])
    again.set("in-progress", step="rename the marker", retries=1, last_failure="no connection")
    assert status.describe(tmp_path, running=True)["last_failure"] == "no connection"
    again.set("failed", error={"message": "m", "advice": "a"})
    status.close(tmp_path, log()[0], completed=True)
    assert "error" not in status.describe(tmp_path, running=False), "what was completed after all has not failed"
    again.set("completed", device="eye")
    (tmp_path / status.MARKER).rename(tmp_path / status.PROCESSED)
    told = status.describe(tmp_path, running=False)
    assert (told["phase"], told["device"]) == ("completed", "eye")
    assert "step" not in told
    assert "step" not in told["history"][0]
    assert told["history"][1]["step"] == "register"
    assert [(entry["attempt"], entry["phase"]) for entry in told["history"]] == [("b", "completed"), ("a", "failed")]


def test_the_history_is_bounded_and_a_damaged_status_is_begun_anew(tmp_path: Path) -> None:
    for number in range(25):
        status.StatusFile(tmp_path, str(number), log()[0]).set("failed")
    assert len(status.read(tmp_path)["history"]) == 20
    (tmp_path / status.FILE).write_bytes(b"{")
    assert status.describe(tmp_path, running=False)["phase"] == "none"


@pytest.mark.parametrize(
    "damaged",
    [{"history": [{}], "error": "x"}, {"history": [{"error": [1]}]}, {"history": [1]}, {"history": {}}, {"error": {}}],
)
def test_a_status_that_is_json_but_not_a_status_is_begun_anew(
    tmp_path: Path, damaged: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / status.FILE).write_text(json.dumps({"phase": "failed", **damaged}))
    cli.main(["status", "--dir", str(tmp_path)])
    assert capsys.readouterr().out == "provisioning: none\n"


def test_a_stored_status_does_nothing_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = {"message": "bad\x1b[2J", "advice": "look\nnext"}
    entry = {"attempt": "a\x07", "started": "now", "device": "é\r"}
    (tmp_path / status.FILE).write_text(json.dumps({"phase": "failed", "error": error, "history": [entry]}))
    cli.main(["status", "--dir", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "bad?[2J" in shown
    assert "look?next" in shown
    assert "now  a?  None  é?" in shown
    assert all(line.isprintable() for line in shown.splitlines())


@pytest.mark.parametrize("own", [{"palette": [1] * 20_000}, {"words": "é" * 20_000}, {"deep": [[[1] * 4] * 900]}])
def test_a_configuration_that_can_be_read_can_be_read_again_after_it_was_replaced(
    tmp_path: Path, own: dict[str, object]
) -> None:
    path = tmp_path / config.FILE
    path.write_text(json.dumps(own, separators=(",", ":"), ensure_ascii=False))
    stored = config.load(tmp_path)
    assert stored is not None
    values = config.merged(stored.values, "eye", "studio", {"server": "mqtts://broker:8883"})
    config.check_readable(tmp_path, values)
    config.install(tmp_path, stored, values)
    again = config.load(tmp_path)
    assert again is not None
    assert again.values == {
        **own,
        "device_name": "eye",
        "platform": "studio",
        "mqtt": {"server": "mqtts://broker:8883"},
    }


def test_half_a_surrogate_pair_stays_what_it_was(tmp_path: Path) -> None:
    (tmp_path / config.FILE).write_text('{"own": "\\ud800 \\u00e9"}')
    stored = config.load(tmp_path)
    assert stored is not None
    config.install(tmp_path, stored, stored.values)
    again = config.load(tmp_path)
    assert again is not None
    assert again.values == stored.values == {"own": "\ud800 é"}


def test_a_configuration_that_would_become_too_large_is_told_before(tmp_path: Path) -> None:
    with pytest.raises(errors.InputError, match=r"would be 65548 bytes with the new credentials; 65536 can be read"):
        config.check_readable(tmp_path, {"own": "x" * 65_537})


def test_a_step_logs_its_duration_also_when_it_fails() -> None:
    written, stream = log()
    with written.bind(attempt="a").step("one"):
        pass
    with pytest.raises(ValueError, match="no"), written.step("two"):
        raise ValueError("no")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["step"], first["attempt"], first["level"]) == ("step done", "one", "a", "info")
    assert (second["event"], second["step"]) == ("step failed", "two")
    assert first["duration_ms"] >= 0
    assert first["ts"].endswith("Z")


def test_a_line_break_in_a_value_stays_one_log_line() -> None:
    written, stream = log()
    written.error("event", told="a\r\nb")
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize("left", [None, b"", b"-----BEGIN CERTIFICATE-----\nMIIB"])
def test_certificates_that_go_while_it_works_are_a_fault_of_the_connection(tmp_path: Path, left: bytes | None) -> None:
    path = tmp_path / "ca.crt"
    if left is not None:
        path.write_bytes(left)
    endpoint = mqtt.Endpoint("127.0.0.1", 1, tls=True, ca_certificate=path)
    with pytest.raises(errors.UnreachableError) as caught, mqtt.session(endpoint, mqtt.Login("a"), 1):
        pass
    assert str(caught.value).startswith(f"mqtts://127.0.0.1:1: the certificates {path} cannot be used (")
    assert caught.value.advice == "Put the files right; it is tried again"


@pytest.mark.parametrize("host", ["a..b", "b\u00fc" * 70 + ".local", "x" * 300])
def test_what_can_be_no_hosts_name_is_told(host: str) -> None:
    with (
        pytest.raises(errors.UnreachableError, match="no connection"),
        mqtt.session(mqtt.Endpoint(host, 1, tls=False), mqtt.Login("a"), 1),
    ):
        pass


def test_an_attempt_that_was_killed_is_told_as_interrupted_beside_the_next(tmp_path: Path) -> None:
    status.StatusFile(tmp_path, "a", log()[0]).set("in-progress", step="register")
    status.StatusFile(tmp_path, "b", log()[0]).set("completed", device="eye")
    newest, killed = status.describe(tmp_path, running=False)["history"]
    assert (newest["phase"], killed["phase"]) == ("completed", "failed")
    assert (killed["error"]["kind"], killed["step"]) == ("interrupted", "register")


def test_a_status_of_long_messages_stays_one_that_can_be_read(tmp_path: Path) -> None:
    told = errors.InputError(["\U0001f525" * 100_000], "Correct it").told
    for number in range(25):
        status.StatusFile(tmp_path, str(number), log()[0]).set("failed", error=told)
        described = status.describe(tmp_path, running=False)
        assert (described["phase"], described["attempt"]) == ("failed", str(number))


@pytest.mark.parametrize(
    ("step", "phase"), [("validate", "failed"), ("register", "failed"), ("rename the marker", "completed")]
)
def test_an_attempt_whose_marker_is_gone_is_completed_only_when_that_was_its_last_step(
    tmp_path: Path, step: str, phase: str
) -> None:
    (tmp_path / status.PROCESSED).touch()
    status.StatusFile(tmp_path, "a", log()[0]).set("in-progress", step=step)
    for running in (False, True):
        told = status.describe(tmp_path, running=running)
        assert [told["phase"], *(entry["phase"] for entry in told["history"])] == [phase, phase]
        assert told.get("error", {}).get("kind") == (None if phase == "completed" else "interrupted")
        provision.settle(tmp_path, log()[0])
        assert not status.is_unsettled(tmp_path)


def test_what_others_wrote_does_nothing_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / status.MARKER).touch()
    (tmp_path / "provision.json").write_text('{"\\ud800": 1, "\\u001b[31mred": 2}')
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", "--dir", str(tmp_path)])
    assert ended.value.code == 3
    stream = io.StringIO()
    logs.open_log("text", stream=stream).warning("answer", message="\x1b[2J\nok")
    shown = capsys.readouterr().out + stream.getvalue()
    assert "?[31mred" in shown
    assert "?[2J?ok" in shown
    assert "\x1b" not in shown
