"""A body is as large as its route takes and no larger, however its length is told; through a real server."""

import contextlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hub_servers import enrol, real_hub

from hub.middleware import BODY_BYTES

pytestmark = [pytest.mark.services]
BEAT = json.dumps({"status": "ok"}).encode()
LARGE = BEAT + b" " * BODY_BYTES
"""Good JSON, and too much of it."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, dict[str, str]]]:
    """The admin of a hub, and a device's headers."""
    folder: Path = tmp_path_factory.mktemp("hub")
    with real_hub(folder) as client:
        yield client, enrol(client, "tablet-1")


def chunked(content: bytes) -> bytes:
    return b"%x\r\n" % len(content) + content + b"\r\n0\r\n\r\n"


def status(site: tuple[httpx.Client, dict[str, str]], framing: str, sent: bytes) -> int:
    """The status of a heartbeat with these headers and bytes; 0 when the hub hangs up on it."""
    client, device = site
    head = f"POST /v1/heartbeat HTTP/1.1\r\nHost: hub\r\nAuthorization: {device['Authorization']}\r\n"
    head += f"Content-Type: application/json\r\nConnection: close\r\n{framing}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=20) as connection:
        got = b""
        with contextlib.suppress(ConnectionError):
            connection.sendall(head.encode() + sent)
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(65_536):
                got += part
    return int(got.split(b" ", 2)[1]) if got else 0


@pytest.mark.parametrize("path", ["/v1/heartbeat", "/v1/register"])
def test_a_large_body_is_refused_with_its_length_told_and_in_chunks(
    site: tuple[httpx.Client, dict[str, str]], path: str
) -> None:
    client, device = site
    headers = {**device, "Content-Type": "application/json"}
    for content in (LARGE, iter([BEAT, b" " * BODY_BYTES])):
        answer = client.post(path, content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_big")
    assert client.post(path, content=BEAT, headers=headers).status_code != 413


def test_what_is_within_the_limit_is_taken_either_way(site: tuple[httpx.Client, dict[str, str]]) -> None:
    most = BEAT + b" " * (BODY_BYTES - len(BEAT))
    assert status(site, f"Content-Length: {len(most)}", most) == 200
    assert status(site, "Transfer-Encoding: chunked", chunked(most)) == 200


@pytest.mark.parametrize(
    ("framing", "sent"),
    [
        ("Transfer-Encoding: chunked", chunked(LARGE)),
        (f"Content-Length: {len(BEAT)}\r\nTransfer-Encoding: chunked", chunked(LARGE)),
        (f"Transfer-Encoding: chunked\r\nContent-Length: {len(BEAT)}", chunked(LARGE)),
        (f"Content-Length: {len(BEAT)}\r\nContent-Length: {len(LARGE)}", LARGE),
        (f"Content-Length: {len(LARGE)}\r\nContent-Length: {len(BEAT)}", LARGE),
        ("Content-Length: -1", LARGE),
    ],
    ids=["chunks", "length and chunks", "chunks and length", "small and large", "large and small", "negative"],
)
def test_no_way_of_telling_the_length_lets_a_large_body_in(
    site: tuple[httpx.Client, dict[str, str]], framing: str, sent: bytes
) -> None:
    assert status(site, framing, sent) in {0, 400, 413}
