"""Rate limits: nobody uses up another's, and who is unknown costs the database little."""

import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hub_servers import HubProcess, wait_until
from hub_support import ADMIN_TOKEN, RunningHub, bearer, running
from sqlalchemy import select

from hub.device_auth import signature
from hub.forwarded import Forwarded
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


async def test_wrong_admin_tokens_are_limited_by_address_and_the_right_one_is_always_let_in(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", rate_login=2) as hub:

        async def asked(ip: str, token: str, form: bool) -> int:
            transport = httpx.ASGITransport(app=hub.app, client=(ip, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
                if form:
                    return (await client.post("/login", data={"token": token})).status_code
                return (await client.get("/admin/tokens", headers=bearer(token))).status_code

        told = [await asked("10.0.0.9", "wrong" * 8, form=number % 2 == 0) for number in range(6)]
        assert told == [401] * 2 + [429] * 4
        assert hub.metric("hub_rate_limited_total", limit="login") == 4
        assert len(hub.lines("sec.admin.denied")) == 6
        for _ in range(3):
            assert await asked("10.0.0.9", ADMIN_TOKEN, form=False) == 200
            assert await asked("10.0.0.9", ADMIN_TOKEN, form=True) == 303
        assert await asked("10.0.0.9", "wrong" * 8, form=False) == 429, "the right one forgives nothing"
        assert await asked("10.0.0.8", "wrong" * 8, form=False) == 401, "another address"


FORWARDED = {
    "an address": ("203.0.113.7", "203.0.113.7"),
    "IPv6": ("2001:db8::7", "2001:db8::7"),
    "with a port": ("203.0.113.7:4711", "203.0.113.7"),
    "the last that is not this machine": ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
    "any text": ("x" * 5000, "127.0.0.1"),
    "a name": ("tablet.example", "127.0.0.1"),
    "any text as a zone": (f"fe80::1%{'z' * 5000}", "127.0.0.1"),
    "blank": ("", "127.0.0.1"),
}


@pytest.mark.parametrize("case", FORWARDED)
async def test_only_an_address_counts_as_where_a_proxy_had_a_request_from(strict: RunningHub, case: str) -> None:
    header, ip = FORWARDED[case]
    transport = httpx.ASGITransport(app=Forwarded(strict.app), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        answer = await client.get("/admin/tokens", headers={"X-Forwarded-For": header})
    assert answer.status_code == 401
    assert strict.lines("sec.admin.denied")[-1]["ip"] == ip
    assert list(strict.hub.limits.login._buckets) == [ip]


async def test_who_is_not_on_this_machine_says_nothing_about_where_it_is(strict: RunningHub) -> None:
    transport = httpx.ASGITransport(app=Forwarded(strict.app), client=("192.0.2.5", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        await client.get("/admin/tokens", headers={"X-Forwarded-For": "203.0.113.7"})
    assert strict.lines("sec.admin.denied")[-1]["ip"] == "192.0.2.5"


def test_a_served_hub_takes_the_address_from_a_proxy_on_its_machine(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as out, HubProcess(tmp_path, f"sqlite:///{tmp_path}/hub.db", out.fileno()) as hub:
        for header in ("203.0.113.7", "x" * 5000):
            httpx.get(f"{hub.url}/admin/tokens", headers={"X-Forwarded-For": header}, timeout=60, trust_env=False)
        wait_until("both are in the log", lambda: log.read_text().count("sec.admin.denied") == 2)
    denied = [line for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "sec.admin.denied"]
    assert [line["ip"] for line in denied] == ["203.0.113.7", "127.0.0.1"]


async def test_a_caller_of_any_length_has_a_short_key() -> None:
    limit = RateLimit(1)
    assert [limit.take("x" * 5000), limit.take("x" * 5000)] == [0, 60]
    assert [len(key) for key in limit._buckets] == [KEY_CHARS]
