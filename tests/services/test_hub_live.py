"""The live page without a browser: its session, its files, its streams and their memory, a stack that is away."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from hub_servers import HubProcess, admin_of, enrol, metric, real_hub, wait_until
from hub_stack import stack_part
from hub_support import ADMIN, ADMIN_TOKEN, RunningHub, running
from sqlalchemy import Connection

from hub.auth import COOKIE, SESSION_SECONDS, session_cookie
from hub.ids import now_ms
from hub.live.broadcast import QUEUED, REMEMBERED, REMEMBERED_CHARS, Broadcast
from hub.store.tables import devices, run_chunks, runs
from lab.ports import free_port

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services]


def test_a_page_that_does_not_keep_up_is_told_to_load_anew() -> None:
    live = Broadcast(1000)
    slow, quick = live.join(None), live.join(None)
    for n in range(QUEUED + 5):
        live.publish("chunk", {"n": n})
        quick.queue.get_nowait()
    kinds = [slow.queue.get_nowait().kind for _ in range(slow.queue.qsize())]
    assert kinds[0] == "reset"
    assert len(kinds) <= 5
    for n in range(2 * REMEMBERED):
        live.publish("chunk", {"n": n})
    assert live.join(live.last_id - 10).queue.qsize() == 10
    assert live.join(live.last_id).queue.qsize() == 0
    for impossible in (5, live.last_id + 1, 0):
        assert live.join(impossible).queue.get_nowait().kind == "reset"


@pytest.mark.anyio
async def test_the_session_is_a_strict_cookie_and_the_page_forbids_all_that_is_foreign(lite: RunningHub) -> None:
    answer = await lite.client.post("https://hub/login", data={"token": ADMIN_TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "secure", "max-age=43200"))
    assert ADMIN_TOKEN not in cookie
    page = await lite.client.get("https://hub/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    foreign = await lite.client.post("https://hub/logout", headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 401
    assert (await lite.client.post("/login", data={"token": "wrong"})).status_code == 401
    for name in ("..%2fcli.py", "page.html", "%2e%2e/app.py"):
        assert (await lite.client.get(f"/static/{name}")).status_code == 404
    lite.client.cookies.clear()
    assert (await lite.client.get("/")).status_code == 303
    for forged in ("1.x", f"{int(time.time()) + 100}.{'0' * 64}", "9" * 40 + ".a", ""):
        got = await lite.client.get("/", headers={"Cookie": f"hub_session={forged}"})
        assert got.status_code == 303


def test_what_is_remembered_for_pages_that_come_back_is_bounded_also_when_it_is_long() -> None:
    live = Broadcast(1)
    for number in range(3 * REMEMBERED_CHARS // 100_000):
        live.publish("chunk", {"n": number, "text": "x" * 100_000})
        assert sum(len(event.data) for event in live._memory) == live._chars <= REMEMBERED_CHARS
    assert len(live._memory) > 30
    for event in live._memory:
        assert live.join(event.id).queue.qsize() == live.last_id - event.id
    assert live.join(live._memory[0].id - 2).queue.get_nowait().kind == "reset"
    for _ in range(2 * REMEMBERED):
        live.publish("changed", {})
    assert (len(live._memory), live._chars) == (REMEMBERED, 2 * REMEMBERED)


def runs_with_output(texts: list[list[str]]) -> Callable[[Connection], None]:
    """A run for each list, with a piece for each text; the first is the newest."""

    now = now_ms()

    def work(conn: Connection) -> None:
        conn.execute(devices.insert().values(device_id="a", kind="plant", created_at=1))
        for number, pieces in enumerate(texts):
            run = {"request_id": f"run-{number}", "device_id": "a", "action": "x", "params": "{}", "protocol": "mqtt"}
            counted = {"chunks": len(pieces), "bytes": sum(map(len, pieces)), "timeout_ms": 1}
            conn.execute(runs.insert().values(**run, **counted, status="ok", created_at=now - number))
            for seq, text in enumerate(pieces):
                piece = {"seq": seq, "stream": "stdout", "data": text.encode(), "received_at": 1}
                conn.execute(run_chunks.insert().values(request_id=f"run-{number}", **piece))

    return work


@pytest.mark.anyio
async def test_a_view_has_of_each_run_what_the_page_keeps_however_big_its_pieces_are(hub: RunningHub) -> None:
    big, middle = "x" * 32_768, "y" * 6_000
    texts = [[], ["1", "2"], ["z"] * 30, [middle] * 5, [middle] * 3 + [big], *[[big] * 20] * 15]
    await hub.hub.db.write(runs_with_output(texts))
    answer = await hub.client.get("/live/view", headers=ADMIN)
    shown = [[(piece["seq"], piece["text"]) for piece in run["output"]] for run in answer.json()["runs"]]
    assert shown[:2] == [[], [(0, "1"), (1, "2")]]
    assert shown[2] == [(seq, "z") for seq in range(10, 30)]
    assert shown[3] == [(seq, middle) for seq in range(2, 5)]
    assert shown[4:] == [[(3, big)], *[[(19, big)]] * 15]
    assert len(answer.content) < 16 * len(big) + 50_000


@pytest.mark.anyio
async def test_a_run_whose_pieces_were_cleaned_away_meanwhile_is_shown_without(hub: RunningHub) -> None:
    await hub.hub.db.write(runs_with_output([["1"]]))
    await hub.hub.db.write(lambda conn: conn.execute(run_chunks.delete()))
    answer = await hub.client.get("/live/view", headers=ADMIN)
    assert [run["output"] for run in answer.json()["runs"]] == [[]]


@pytest.mark.anyio
async def test_a_view_asks_all_of_the_stack_at_once(lite: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """When two parts hang, a view does not wait for the one after the other."""
    both = asyncio.Barrier(2)

    async def alerts() -> dict[str, str]:
        async with asyncio.timeout(30), both:
            return {"problem": "none"}

    async def health() -> list[dict[str, str]]:
        async with asyncio.timeout(30), both:
            return [{"part": "Alertmanager"}]

    monkeypatch.setattr(lite.hub.outside, "alerts", alerts)
    monkeypatch.setattr(lite.hub.outside, "health", health)
    view = (await lite.client.get("/live/view", headers=ADMIN)).json()
    assert (view["problem"], [item["part"] for item in view["health"]]) == ("none", ["Broker", "Alertmanager"])


@pytest.mark.anyio
async def test_a_view_says_how_many_devices_it_has_not(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.view.DEVICES", 2)
    for name in ("a", "b", "c"):
        await hub.enrol(name)
    view = (await hub.client.get("/live/view", headers=ADMIN)).json()
    assert ([device["device_id"] for device in view["devices"]], view["known"]) == (["a", "b"], 3)


@pytest.mark.anyio
async def test_who_logs_in_too_often_or_out_too_late_is_shown_a_page(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", rate_login=1) as hub:
        answers = [await hub.client.post("/login", data={"token": "wrong"}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [401, 429]
        assert int(answers[1].headers["retry-after"]) >= 1
        for answer, told in zip(
            answers, ("This is not the admin token.", "Too many requests; try again in"), strict=True
        ):
            assert answer.headers["content-type"].startswith("text/html")
            assert "default-src 'none'" in answer.headers["content-security-policy"]
            assert f'role="alert">{told}' in answer.text
            assert 'action="/login"' in answer.text
        denied = len(hub.lines("sec.admin.denied"))
        ended = {"Cookie": f"{COOKIE}={session_cookie(ADMIN_TOKEN, time.time() - SESSION_SECONDS - 1)}"}
        late = await hub.client.post("/logout", headers=ended)
        assert (late.status_code, late.headers["location"]) == (303, "/login")
        assert len(hub.lines("sec.admin.denied")) == denied
        good = {"Cookie": f"{COOKIE}={session_cookie(ADMIN_TOKEN, time.time())}"}
        answer = await hub.client.post("/logout", headers=good)
        assert "max-age=0" in answer.headers["set-cookie"].lower()
        foreign = await hub.client.post("/logout", headers={**good, "Sec-Fetch-Site": "cross-site"})
        assert "set-cookie" not in foreign.headers


@pytest.mark.anyio
async def test_a_stream_ends_with_its_session(lite: RunningHub) -> None:
    ends = int(time.time()) + 8
    session = {"Cookie": f"{COOKIE}={session_cookie(ADMIN_TOKEN, ends - SESSION_SECONDS)}"}
    page = asyncio.create_task(lite.client.get("/live/events", headers=session))
    script = asyncio.create_task(lite.client.get("/live/events", headers=ADMIN))
    try:
        await lite.until(lambda: lite.hub.live.pages == 2)
        lite.hub.live.publish("chunk", {"text": "seen"})
        streamed = await asyncio.wait_for(page, 60)
        assert time.time() >= ends
        assert (streamed.status_code, "seen" in streamed.text) == (200, True)
        assert (await lite.client.get("/live/events", headers=session)).status_code == 401
        assert (lite.hub.live.pages, script.done()) == (1, False), "the token has no end"
    finally:
        script.cancel()
        await asyncio.gather(script, return_exceptions=True)


@pytest.mark.anyio
async def test_a_stack_that_is_away_is_said_and_the_page_goes_on(tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    given = {"tsdb_url": away, "alertmanager_url": away, "mqtt_url": f"mqtt://127.0.0.1:{free_port()}"}
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", **given) as hub:
        await hub.enrol("tablet-1")
        await hub.until(lambda: "mqtt" in hub.hub.problems)
        view = (await hub.client.get("/live/view", headers=ADMIN)).json()
        assert view["problem"].startswith("Alertmanager is away")
        assert [d["device_id"] for d in view["devices"]] == ["tablet-1"]
        assert {h["part"]: h["ok"] for h in view["health"]} == {
            "Broker": False,
            "VictoriaMetrics": False,
            "Alertmanager": False,
        }
        furnaces = (await hub.client.get("/live/furnaces", headers=ADMIN)).json()
        assert furnaces["problem"].startswith("VictoriaMetrics is away")
        assert (furnaces["furnaces"], furnaces["at"]) == ([], None)
        assert (await hub.client.get("/readyz")).status_code == 200


@pytest.mark.anyio
async def test_readyz_tells_what_of_the_stack_is_away_as_far_as_it_is_known_and_asks_nobody(tmp_path: Path) -> None:
    """Nobody looks at the page meanwhile."""
    with stack_part() as storage:
        given = {"tsdb_url": storage.url, "alertmanager_url": f"http://127.0.0.1:{free_port()}"}
        async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", **given) as hub:

            async def told() -> dict[str, str]:
                answer = await hub.client.get("/readyz")
                assert (answer.status_code, answer.json()["status"]) == (200, "ok")
                problems: dict[str, str] = answer.json()["problems"]
                return problems

            async def settles(*parts: str) -> None:
                async def so() -> bool:
                    return set(await told()) == set(parts)

                await hub.until(so, 30)

            await settles("Alertmanager")
            assert (await told())["Alertmanager"] == "it does not answer (ConnectError)"
            storage.status = 503
            await settles("Alertmanager", "VictoriaMetrics")
            assert (await told())["VictoriaMetrics"] == "it answers 503"
            view = (await hub.client.get("/live/view", headers=ADMIN)).json()
            assert view["problems"] == {}, "what is told as the health of a part is not told twice"
            assert {h["part"]: h["why"] for h in view["health"]} == {"Broker": None, **await told()}
            asked = storage.asked
            for _ in range(100):
                await told()
            assert storage.asked <= asked + 10, "readyz asks nobody"
            storage.status = 200
            await settles("Alertmanager")


def test_streams_resume_after_the_last_event_and_metrics_move(tmp_path: Path) -> None:
    with real_hub(tmp_path) as client:
        device = enrol(client, "tablet-1")
        last = client.get("/live/view").json()["last_id"]
        body = {"device_id": "tablet-1", "action": "x", "protocol": "mqtt", "request_id": "run-1"}
        client.post("/admin/command", json=body).raise_for_status()
        for seq in range(3):
            client.post("/v1/runs/run-1/chunks", json={"seq": seq, "data": str(seq)}, headers=device).raise_for_status()
        first = _events(client, 3, **{"Last-Event-ID": str(last)})
        assert [kind for _, kind in first] == ["run", "chunk", "run"]
        rest = _events(client, 2, **{"Last-Event-ID": str(first[-1][0])})
        assert [number for number, _ in rest] == [first[-1][0] + 1, first[-1][0] + 2]
        assert _events(client, 1, **{"Last-Event-ID": "1"})[0][1] == "reset"
        text = client.get("/metrics").text
        assert "live_connect_duration_seconds_count 3.0" in text
        assert 'live_streaming_errors_total{reason="reset"} 1.0' in text
        wait_until("pages are forgotten", lambda: "live_sessions 0.0" in client.get("/metrics").text)


def _events(client: httpx.Client, count: int, **headers: str) -> list[tuple[int, str]]:
    """The first events of a stream, as (id, kind)."""
    found: list[tuple[int, str]] = []
    number = 0
    with client.stream("GET", "/live/events", headers=headers, timeout=10) as stream:
        for line in stream.iter_lines():
            if line.startswith("id: "):
                number = int(line.removeprefix("id: "))
            if line.startswith("event: "):
                found.append((number, line.removeprefix("event: ")))
            if len(found) == count:
                break
    return found


def test_a_page_that_stops_reading_is_cut_off_counted_and_no_error(tmp_path: Path) -> None:
    """A phone leaves the house: its connection stays, and nobody reads."""
    log = tmp_path / "log.jsonl"
    with log.open("wb") as stdout, HubProcess(tmp_path, f"sqlite:///{tmp_path}/hub.db", stdout.fileno()) as hub:
        with admin_of(hub) as client, socket.socket() as phone:
            device = enrol(client, "tablet-1")
            body = {"device_id": "tablet-1", "action": "x", "protocol": "mqtt", "request_id": "run-1"}
            client.post("/admin/command", json=body).raise_for_status()
            phone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            phone.connect(("127.0.0.1", hub.port))
            asked = f"GET /live/events HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
            phone.sendall(asked.encode())
            wait_until("the page is there", lambda: metric(client, "live_sessions") == 1)
            for seq in range(250):
                chunk = {"seq": seq, "data": "x" * 32_000}
                client.post("/v1/runs/run-1/chunks", json=chunk, headers=device).raise_for_status()
            wait_until("it is cut off", lambda: metric(client, 'live_streaming_errors_total{reason="slow"}') == 1)
            wait_until("and forgotten", lambda: metric(client, "live_sessions") == 0)
            assert metric(client, 'live_streaming_errors_total{reason="broken"}') == 0
        wait_until("it is in the log", lambda: b"live.slow" in log.read_bytes())
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (slow,) = [line for line in lines if line["event"] == "live.slow"]
    assert (slow["level"], slow["route"]) == ("info", "/live/events")
    assert [line for line in lines if line["level"] == "error" or "exception" in line] == []
