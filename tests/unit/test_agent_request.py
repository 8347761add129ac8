"""provision.json and thermal_config.json: what is accepted, and the message for what is not."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import settings, strictjson
from agent.credentials import Credentials
from agent.errors import InputError
from agent.fields import LARGEST_FILE
from agent.request import KNOWN, parse_request

GOOD = {"server": "mqtts://hub.local", "provision_device_key": "key", "provision_device_secret": "secret"}
CONFIG = {"device_name": "thermal-camera-a1b2c3", "mqtt": {"server": "mqtts://hub.local", "username": "token"}}
HERE = Path("/nonexistent")


def problems(values: object) -> list[str]:
    data = values if isinstance(values, bytes) else json.dumps(values).encode()
    with pytest.raises(InputError) as caught:
        parse_request(data, HERE)
    return caught.value.problems


def config_problems(**changes: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        settings.parse(CONFIG | changes, HERE)
    return caught.value.problems


def test_the_least_that_is_needed() -> None:
    request = parse_request(json.dumps(GOOD).encode(), HERE)
    assert (request.server.host, request.server.port, request.server.tls) == ("hub.local", 8883, True)
    assert request.device_server == request.server
    assert request.name == "thermal-camera-XXXXXX"
    assert request.credentials_type == "ACCESS_TOKEN"
    assert request.makes_names


def test_another_server_for_the_device_and_another_port() -> None:
    values = GOOD | {"server": "mqtts://hub:18830", "device_server": "mqtts://broker"}
    request = parse_request(json.dumps(values).encode(), HERE)
    assert str(request.server) == "mqtts://hub:18830"
    assert str(request.device_server) == "mqtts://broker:8883"


@pytest.mark.parametrize("server", ["mqtts://[2001:db8::5]:8883", "mqtts://[fe80::1%eth0]:8884", "mqtts://hub:8883"])
def test_what_is_written_of_a_server_is_read_again_as_the_same_one(server: str) -> None:
    """With an IPv6 address too: a configuration that the agent itself cannot read would end its work for good."""
    request = parse_request(json.dumps(GOOD | {"server": server}).encode(), HERE)
    written = Credentials("ACCESS_TOKEN", "eye", "token").settings(request.device_server, request)
    assert written["server"] == server
    assert settings.parse({"device_name": "eye", "mqtt": written}, HERE).endpoint == request.device_server


def test_secrets_are_not_in_what_is_printed() -> None:
    assert "secret" not in repr(parse_request(json.dumps(GOOD).encode(), HERE))


def test_plain_text_needs_a_word_unless_it_stays_on_the_machine() -> None:
    assert "unencrypted" in problems(GOOD | {"server": "mqtt://hub.local"})[0]
    for values in ({"server": "mqtt://hub.local", "allow_plaintext": True}, {"server": "mqtt://127.0.0.1"}):
        assert parse_request(json.dumps(GOOD | values).encode(), HERE).server.port == 1883


def test_all_faults_are_told_at_once() -> None:
    told = problems({"server": 7, "provision_device_secret": "", "allow_plaintext": "yes", "retries": 3})
    assert told == [
        'provision.json: "retries" is not a field here; the fields are ' + ", ".join(KNOWN),
        'provision.json: "allow_plaintext" must be true or false, it is text, as in false',
        'provision.json: "server" must be text, it is a number: write it, as in "mqtts://hub.local:8883"',
        'provision.json: "provision_device_key" is missing: give it, as in "7b0f1c2d3e4a5b6c7d8e"',
        'provision.json: "provision_device_secret" is empty: give it, as in "9e8d7c6b5a4f3e2d1c0b"',
    ]


HOSTILE: dict[str, Any] = {
    "null": None,
    "list": [1],
    "object": {"a": 1},
    "number": 7,
    "long": "x" * 65537,
    "nul": "a\0b",
    "newline": "a\nb",
    "carriage return": "a\rb",
    "empty": "",
    "blank": "  ",
    "blanks at the ends": " a ",
    "half a character": "\ud800",
    "control": "a\x85b",
}
TEXT_FIELDS = [key for key in KNOWN if key != "allow_plaintext"]


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_each_field_refuses_what_is_not_a_line_of_text_and_names_itself(field: str, value: Any) -> None:
    told = problems(GOOD | {field: value})
    assert any(f'"{field}"' in line or "larger than" in line for line in told)
    assert all(" as in " in line or "larger than" in line for line in told)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"null", "it must be an object in braces; it is null"),
        (b"[{}]", "it must be an object in braces; it is a list"),
        (b"\xff\xfe{}", "it is not UTF-8 text (byte 1)"),
        (b"{" + b" " * 65536 + b"}", "it is larger than 65536 bytes"),
        (b'{"server": "a", "server": "b"}', 'the key "server" is there twice'),
        (b'{"a": NaN}', "NaN is not a number in JSON"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": ' + b"[" * 30000, "it is nested too deeply"),
        (b'{\n "a": "x\ny"}', "line 2, column 9: Invalid control character at"),
        (b'{"a": 1}\0', "line 1, column 9: Extra data"),
        (b'{"a": 1,}', "line 1, column 9: Expecting property name enclosed in double quotes"),
    ],
)
def test_what_is_not_json_is_told_with_its_place(data: bytes, told: str) -> None:
    assert problems(data) == [f"provision.json is not usable: {told}"]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("hub.local", "must begin with mqtts://"),
        ("mqtts://hub.local:0", "names no port from 1 to 65535"),
        ("http://hub.local", "must begin with mqtts://"),
        ("mqtts://", "names no host"),
        ("mqtts://hub:port", "is not a URL"),
        ("mqtts://hub:65536", "is not a URL"),
        ("mqtts://[::1", "is not a URL"),
        ("mqtts://user:pass@hub", "must have nothing but host and port"),
        ("mqtts://hub/path", "must have nothing but host and port"),
        ("mqtts://hub?x=1", "must have nothing but host and port"),
    ],
)
def test_a_server_is_a_url_with_a_host_and_nothing_else(url: str, told: str) -> None:
    assert told in problems(GOOD | {"server": url})[0]


@pytest.mark.parametrize("name", ["a/b", "a+b", "#", "-a", "XXXXXX-XXXXXX", "käse", "a b", "x" * 61])
def test_a_name_that_could_not_be_part_of_a_topic(name: str) -> None:
    assert '"device_name"' in problems(GOOD | {"device_name": name})[0]


def test_a_certificate_needs_its_files_and_tls() -> None:
    told = problems(GOOD | {"credentials_type": "X509_CERTIFICATE"})
    assert [line.split('"')[1] for line in told] == ["certificate", "private_key"]
    told = problems(GOOD | {"server": "mqtt://127.0.0.1", "credentials_type": "X509_CERTIFICATE"})
    assert "needs TLS" in told[-1]


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("not a certificate")
    with pytest.raises(InputError, match="cannot be used"):
        parse_request(json.dumps(GOOD | {"ca_certificate": "ca.crt"}).encode(), tmp_path)
    assert "cannot be read" in problems(GOOD | {"ca_certificate": "ca.crt"})[0]


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "too large"])
@pytest.mark.parametrize("field", ["ca_certificate", "certificate", "private_key"])
def test_a_file_that_is_none_is_refused_at_once(tmp_path: Path, field: str, kind: str) -> None:
    path = tmp_path / "given"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case _:
            path.write_bytes(bytes(LARGEST_FILE + 1))
    begun = time.monotonic()
    with pytest.raises(InputError) as caught:
        parse_request(json.dumps(GOOD | {field: "given"}).encode(), tmp_path)
    assert time.monotonic() - begun < 5
    told = f"larger than {LARGEST_FILE} bytes ({path})" if kind == "too large" else f"{path} is not a regular file"
    assert [line for line in caught.value.problems if f'"{field}" names a file' in line and told in line]


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_no_bytes_make_it_fail_otherwise_than_with_a_message(data: bytes) -> None:
    with pytest.raises(InputError):
        parse_request(data, HERE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(KNOWN), json_values))
def test_no_values_make_it_fail_otherwise_than_with_a_message(values: dict[str, Any]) -> None:
    with contextlib.suppress(InputError):
        parse_request(json.dumps(values).encode(), HERE)


@given(st.dictionaries(st.sampled_from(["device_name", "id", "platform", "mqtt", "telemetry", "buffer", "topics",
                                        "commands", "other"]), json_values))  # fmt: skip
def test_no_configuration_makes_it_fail_otherwise_than_with_a_message(values: dict[str, Any]) -> None:
    with contextlib.suppress(InputError):
        settings.parse(values, HERE)


def test_strict_json_keeps_what_is_right() -> None:
    assert strictjson.parse(b'\xef\xbb\xbf{"a": [1, 2.5, "\xc3\xa9", null, true]}') == {"a": [1, 2.5, "é", None, True]}


# thermal_config.json


def test_what_is_left_out_has_a_default_and_unknown_keys_are_nobodys_business() -> None:
    found = settings.parse(CONFIG | {"lens": "x"}, HERE)
    assert found.topics["telemetry"] == "camera/thermal-camera-a1b2c3/telemetry"
    assert found.topics["commands"] == "camera/thermal-camera-a1b2c3/cmd/+"
    assert (found.login.client_id, found.login.username) == ("thermal-camera-a1b2c3", "token")
    assert found.source == settings.Source()


def test_the_id_in_topics_may_be_another_one_than_the_name() -> None:
    assert settings.parse(CONFIG | {"id": "eye"}, HERE).topics["telemetry"] == "camera/eye/telemetry"


def test_thingsboards_topics() -> None:
    topics = settings.parse(CONFIG | {"platform": "thingsboard"}, HERE).topics
    assert topics["telemetry"] == "v1/devices/me/telemetry"
    assert topics["commands"] == "v1/devices/me/rpc/request/+"
    assert topics["output"] is None


def test_topics_may_be_set_and_switched_off() -> None:
    topics = settings.parse(CONFIG | {"topics": {"telemetry": "t/{id}", "state": None}}, HERE).topics
    assert topics["telemetry"] == "t/thermal-camera-a1b2c3"
    assert topics["state"] is None
    assert config_problems(topics={"telemetry": None})
    assert config_problems(topics={"state": "a/+"})
    assert config_problems(topics={"stat": "a"}) == [
        'thermal_config.json: topics: "stat" is not a field here; did you mean "state"?'
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mqtt": {}}, ["server", "username"]),
        ({"mqtt": []}, ["mqtt", "server", "username"]),
        ({"device_name": "a/b"}, ["device_name"]),
        ({"telemetry": {"interval_seconds": 0}}, ["interval_seconds"]),
        ({"telemetry": {"source": {"file": "a", "simulator": True}}}, ["source"]),
        ({"telemetry": {"source": {"command": "thermal-read --json"}}}, ["command"]),
        ({"telemetry": {"source": {"commnd": ["x"]}}}, ["commnd"]),
        ({"buffer": {"most_messages": 1}}, ["most_messages"]),
        ({"commands": {"reboot": {"argv": []}, "x": {"argv": ["a", 1], "timeout_seconds": "1"}}},
         ["argv", "argv", "timeout_seconds"]),
    ],
)  # fmt: skip
def test_faults_in_the_configuration_name_their_field(changes: dict[str, Any], told: list[str]) -> None:
    assert [line.split('"')[1] for line in config_problems(**changes)] == told
