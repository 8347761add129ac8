"""Rate limits: nobody uses up another's, and who is unknown costs the database little."""

import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_support import RunningHub, bearer, running
from sqlalchemy import select

from hub.device_auth import signature
from hub.ids import digest, new_token
from hub.limits import KEY_CHARS, RateLimit
from hub.store.tables import nonces

pytestmark = [pytest.mark.anyio, pytest.mark.services]
MOST = 5
BEAT = {"status": "ok"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def strict(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", rate_device=MOST) as hub:
        yield hub


async def beats(hub: RunningHub, ip: str, headers: list[dict[str, str]]) -> list[int]:
    """The status codes of heartbeats from an address."""
    transport = httpx.ASGITransport(app=hub.app, client=(ip, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        return [(await client.post("/v1/heartbeat", json=BEAT, headers=h)).status_code for h in headers]


def count_reads(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    reads: list[Any] = []
    read = hub.hub.db.read

    async def counted(work: Any) -> Any:
        reads.append(work)
        return await read(work)

    monkeypatch.setattr(hub.hub.db, "read", counted)
    return reads


async def test_who_has_only_a_tokens_id_does_not_use_up_what_its_device_may_ask(strict: RunningHub) -> None:
    good = await strict.enrol()
    token_id = good["Authorization"].removeprefix("Bearer ").partition(".")[0]
    wrong = bearer(f"{token_id}.{'wrong' * 8}")
    assert await beats(strict, "10.0.0.9", [wrong] * (MOST + 2)) == [401] * MOST + [429, 429]
    assert strict.metric("hub_rate_limited_total", limit="denied") == 2
    assert await beats(strict, "10.0.0.1", [good] * (MOST + 1)) == [200] * MOST + [429]
    assert strict.metric("hub_rate_limited_total", limit="device") == 1


async def test_made_up_tokens_are_limited_by_address_and_then_not_looked_up(
    strict: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await strict.enrol()
    assert await beats(strict, "10.0.0.9", [good]) == [200]
    strict.app.state.device_memory.forget()
    reads = count_reads(strict, monkeypatch)
    made_up = [bearer(new_token().text) for _ in range(50)]
    assert await beats(strict, "10.0.0.9", made_up) == [401] * MOST + [429] * (50 - MOST)
    assert len(reads) == MOST
    assert await beats(strict, "10.0.0.9", [good]) == [200], "a device that was here before, at the same address"
    assert await beats(strict, "10.0.0.8", made_up[:1]) == [401], "another address"


async def test_a_good_request_costs_one_read_and_a_remembered_one_none(
    strict: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = await strict.enrol()
    reads = count_reads(strict, monkeypatch)
    assert await beats(strict, "10.0.0.1", [good] * 3) == [200] * 3
    assert len(reads) == 1


async def test_a_signature_for_an_id_that_nobody_has_leaves_nothing_in_the_database(strict: RunningHub) -> None:
    stamp = f"{int(time.time())} {secrets.token_hex(8)}"
    body = b'{"status":"ok"}'
    sig = signature(digest(""), "POST /v1/heartbeat", stamp, body)
    ts, nonce = stamp.split()
    header = f"Hub-HMAC-SHA256 id=AAAAAAAAAAAA, ts={ts}, nonce={nonce}, sig={sig}"
    answer = await strict.client.post(
        "/v1/heartbeat", content=body, headers={"Authorization": header, "Content-Type": "application/json"}
    )
    assert answer.status_code == 401
    assert await strict.rows(select(nonces)) == []


async def test_a_caller_of_any_length_has_a_short_key() -> None:
    limit = RateLimit(1)
    assert [limit.take("x" * 5000), limit.take("x" * 5000)] == [0, 60]
    assert [len(key) for key in limit._buckets] == [KEY_CHARS]
