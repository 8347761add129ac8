"""TLS is verified before a word is said; a certificate may be the device's own credential."""

# ruff: noqa: F811 - fixtures are asked for by their names

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import agent_certificates
from services.agent_cases import NAME, is_new, prepare
from services.agent_fixtures import rewrite, running, server, start, tmp_path, untouched  # noqa: F401 - fixtures
from standins.thingsboard_standin import ThingsboardStandin

from agent import config, mqtt
from agent.errors import UnreachableError, UntrustedError


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("certificates")
    agent_certificates.make(made, "ca")
    agent_certificates.make(made, "server", "ca")
    agent_certificates.make(made, "elsewhere", "ca", host="elsewhere.example")
    agent_certificates.make(made, "device", "ca")
    agent_certificates.make(made, "other-ca")
    return made


@pytest.fixture(scope="module")
def secure(certificates: Path) -> Iterator[ThingsboardStandin]:
    context = agent_certificates.server_context(certificates, "server", "ca")
    with ThingsboardStandin({"key": "secret"}, tls=context) as server:
        yield server


def secured(tmp_path: Path, secure: ThingsboardStandin, authority: Path, **more: object) -> Path:
    secure.reset()
    directory = prepare(tmp_path / "device", secure)
    rewrite(directory, server=f"mqtts://127.0.0.1:{secure.port}", ca_certificate=str(authority), **more)
    return directory


def test_tls_is_spoken_and_the_server_verified(tmp_path: Path, secure: ThingsboardStandin, certificates: Path) -> None:
    directory = secured(tmp_path, secure, certificates / "ca.crt")
    start(directory)
    assert is_new((directory / config.FILE).read_bytes(), secure)


def test_an_x509_certificate_is_the_devices_credential(
    tmp_path: Path, secure: ThingsboardStandin, certificates: Path
) -> None:
    directory = secured(
        tmp_path,
        secure,
        certificates / "ca.crt",
        credentials_type="X509_CERTIFICATE",
        certificate=str(certificates / "device.crt"),
        private_key=str(certificates / "device.key"),
    )
    start(directory)
    assert secure.devices[NAME].type == "X509_CERTIFICATE"
    stored = json.loads((directory / config.FILE).read_text())["mqtt"]
    assert stored["certificate"] == str(certificates / "device.crt")
    assert "username" not in stored


def test_of_a_file_with_certificate_and_key_the_certificate_alone_is_sent_and_kept(
    tmp_path: Path, secure: ThingsboardStandin, certificates: Path
) -> None:
    both = tmp_path / "both.pem"
    comment = "Inhaber: Glasbläserei\n".encode("latin-1")
    both.write_bytes(comment + (certificates / "device.key").read_bytes() + (certificates / "device.crt").read_bytes())
    files = {"certificate": str(both), "private_key": str(both)}
    directory = secured(tmp_path, secure, certificates / "ca.crt", credentials_type="X509_CERTIFICATE", **files)
    start(directory)
    (request,) = secure.requests
    assert request["hash"].encode() == (certificates / "device.crt").read_bytes().strip()
    assert not [path for path in directory.iterdir() if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]


def test_an_unknown_authority_is_not_trusted_and_told_nothing(
    tmp_path: Path, secure: ThingsboardStandin, certificates: Path
) -> None:
    directory = secured(tmp_path, secure, certificates / "other-ca.crt")
    with pytest.raises(UntrustedError, match="the server's certificate is not trusted"):
        start(directory)
    assert untouched(directory)
    assert not secure.requests


def test_a_certificate_for_another_host_is_not_trusted(tmp_path: Path, certificates: Path) -> None:
    context = agent_certificates.server_context(certificates, "elsewhere", "ca")
    with ThingsboardStandin({"key": "secret"}, tls=context) as impostor:
        directory = secured(tmp_path, impostor, certificates / "ca.crt")
        with pytest.raises(UntrustedError, match=r"not valid for '127\.0\.0\.1'"):
            start(directory)
    assert not impostor.requests


def test_a_port_that_does_not_speak_tls_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = mqtt.Endpoint("127.0.0.1", silent.getsockname()[1], tls=True)
        client = mqtt.new_client(endpoint, mqtt.Login("camera"), keepalive=10)
        client.connect_timeout = 0.2
        with pytest.raises(UnreachableError) as caught:
            mqtt.Session(client, endpoint).open(1)
    assert caught.value.message == f"{endpoint}: no answer in time (TLS handshake)"
    assert caught.value.advice.endswith("and that this port speaks TLS")
