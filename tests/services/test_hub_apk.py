"""APK builds: uploaded once, served whole or in ranges, one event row a download."""

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hub_support import ADMIN, RunningHub, bearer, running
from sqlalchemy import select, update

from hub import retention
from hub.ids import now_ms
from hub.store.tables import apk_builds, apk_download_events, enrolment_tokens

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]
APK = b"PK\x03\x04" + bytes(range(256)) * 40
LATEST = "/v1/apk/download-latest"


async def upload(hub: RunningHub, content: bytes = APK, code: int = 7, build_type: str = "debug") -> dict[str, object]:
    query = {"version_code": code, "version_name": f"1.{code}", "build_type": build_type}
    answer = await hub.client.post("/admin/apk-builds", params=query, content=content, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    made: dict[str, object] = answer.json()
    return made


def name_of(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}.apk"


def files(folder: Path) -> set[str]:
    return {path.name for path in (folder / "apk").iterdir()}


async def events(hub: RunningHub) -> list[tuple[str, str]]:
    rows = await hub.rows(select(apk_download_events).order_by(apk_download_events.c.id))
    return [(row["build_id"], row["source"]) for row in rows]


async def test_an_enrolment_download_leaves_a_row_and_a_line(hub: RunningHub) -> None:
    build = await upload(hub)
    token = await hub.new_token()
    answer = await hub.client.get(LATEST, headers=bearer(token))
    assert answer.content == APK
    assert answer.headers["x-checksum-sha256"] == hashlib.sha256(APK).hexdigest()
    assert await events(hub) == [(build["build_id"], "enrollment")]
    (line,) = hub.lines("apk.download")
    expected = {
        "build_id": build["build_id"],
        "version_code": 7,
        "version_name": "1.7",
        "build_type": "debug",
        "source": "enrollment",
        "token_id": token.partition(".")[0][-4:],
    }
    assert expected.items() <= line.items()
    assert hub.metric("apk_download_total", build_type="debug", source="enrollment") == 1
    registered = await hub.client.post("/v1/register", json={"device_id": "a", "token": token})
    assert registered.status_code == 200, "a download does not consume the token"


async def test_devices_and_the_admin_download_as_manual(hub: RunningHub) -> None:
    await upload(hub)
    for headers in (ADMIN, await hub.enrol()):
        assert (await hub.client.get(LATEST, headers=headers)).status_code == 200
    assert [source for _, source in await events(hub)] == ["manual", "manual"]


async def test_a_download_in_parts_is_one_download(hub: RunningHub) -> None:
    build = await upload(hub)
    token = bearer(await hub.new_token())
    got = b""
    for start in range(0, len(APK), 4000):
        part = await hub.client.get(LATEST, headers={**token, "Range": f"bytes={start}-{start + 3999}"})
        assert part.status_code == 206
        got += part.content
    assert got == APK
    assert await events(hub) == [(build["build_id"], "enrollment")]


HALF = len(APK) // 2
FIRST, SECOND, WHOLE = f"bytes=0-{HALF - 1}", f"bytes={HALF}-", "bytes=0-"


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ([SECOND, FIRST], 1),
        ([SECOND, FIRST, SECOND], 1),
        ([FIRST, SECOND, SECOND], 1),
        ([f"bytes=-{HALF}", f"bytes={HALF // 2}-{HALF}", FIRST], 1),
        ([SECOND, WHOLE], 1),
        ([FIRST, SECOND, FIRST, SECOND], 2),
        ([SECOND, FIRST, FIRST], 2),
        ([WHOLE, SECOND], 1),
        ([WHOLE, WHOLE], 2),
        ([None, SECOND], 1),
        ([SECOND, None], 2),
    ],
)
async def test_parts_come_in_any_order_and_are_one_download_until_it_begins_again(
    hub: RunningHub, asked: list[str | None], rows: int
) -> None:
    await upload(hub)
    device = await hub.enrol()
    await hub.client.get(LATEST, headers={**ADMIN, "Range": SECOND})
    for part in asked:
        answer = await hub.client.get(LATEST, headers=device | ({"Range": part} if part else {}))
        assert answer.status_code == (206 if part else 200)
    assert len(await events(hub)) == 1 + rows, "and the admin's own"
    assert [line["resumed"] for line in hub.lines("apk.download")].count(False) == 1 + rows
    assert hub.metric("apk_download_total", build_type="debug", source="manual") == 1 + rows


async def test_parts_that_are_fetched_at_once_are_one_download(hub: RunningHub) -> None:
    await upload(hub)
    token = bearer(await hub.new_token())
    ranges = [f"bytes={start}-{start + 999}" for start in range(0, len(APK), 1000)]
    parts = await asyncio.gather(*(hub.client.get(LATEST, headers={**token, "Range": part}) for part in ranges))
    assert b"".join(part.content for part in parts) == APK
    assert len(await events(hub)) == 1


@pytest.mark.parametrize(
    "beyond", ["bytes=999999999-", "bytes=99999999999999999999999999-", f"bytes={len(APK)}-", "bytes=-0"]
)
async def test_a_range_beyond_the_end_is_refused_and_is_no_download(hub: RunningHub, beyond: str) -> None:
    await upload(hub)
    answer = await hub.client.get(LATEST, headers={**ADMIN, "Range": beyond})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(APK)}"
    assert answer.json()["detail"]
    assert await events(hub) == []
    assert hub.metric("apk_download_total", build_type="debug", source="manual") == 0
    assert hub.lines("apk.download") == []
    (line,) = hub.lines("apk.download.fail")
    assert (line["level"], line["reason"], line["status_code"]) == ("warning", "range_not_satisfiable", 416)
    assert (line["version_code"], line["source"]) == (7, "manual")


@pytest.mark.parametrize(
    "ignored",
    [
        "bytes=abc",
        "bytes=a-b",
        "bytes=5-2",
        "bytes=-",
        "bytes=",
        "bytes",
        "items=0-5",
        "bytes=--1",
        "bytes=0-1,x",
        "bytes=\u00b2-",
        "bytes=" + ",".join(["0-0"] * 5000),
    ],
)
async def test_a_range_that_is_none_is_ignored_and_the_whole_is_downloaded(hub: RunningHub, ignored: str) -> None:
    await upload(hub)
    answer = await hub.client.get(LATEST, headers={**ADMIN, "Range": ignored.encode("latin-1")})
    assert (answer.status_code, answer.content) == (200, APK)
    assert len(await events(hub)) == 1
    (line,) = hub.lines("apk.download")
    assert (line["status_code"], line["resumed"]) == (200, False)


@pytest.mark.parametrize(
    ("some", "expected"),
    [
        ("bytes=0-3", APK[:4]),
        ("Bytes = 5-99999999", APK[5:]),
        ("bytes=-10", APK[-10:]),
        ("bytes=-99999999", APK),
        ("bytes=3-4,99999999-", APK[3:5]),
    ],
)
async def test_of_a_range_what_there_is_is_sent(hub: RunningHub, some: str, expected: bytes) -> None:
    await upload(hub)
    answer = await hub.client.get(LATEST, headers={**ADMIN, "Range": some})
    assert (answer.status_code, answer.content) == (206, expected)
    assert [line["status_code"] for line in hub.lines("apk.download")] == [206]


async def test_with_if_range_of_another_build_a_range_beyond_the_end_is_a_download_too(hub: RunningHub) -> None:
    await upload(hub)
    answer = await hub.client.get(LATEST, headers={**ADMIN, "Range": "bytes=99999999-", "If-Range": '"old"'})
    assert (answer.status_code, answer.content, len(await events(hub))) == (200, APK, 1)


async def test_what_is_known_already_is_not_sent_again(hub: RunningHub) -> None:
    await upload(hub)
    first = await hub.client.get(LATEST, headers=ADMIN)
    again = await hub.client.get(LATEST, headers={**ADMIN, "If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, len(await events(hub))) == (304, b"", 1)


async def test_if_range_of_another_build_sends_the_whole_file(hub: RunningHub) -> None:
    await upload(hub)
    answer = await hub.client.get(LATEST, headers={**ADMIN, "Range": "bytes=5-", "If-Range": '"old"'})
    assert (answer.status_code, answer.content) == (200, APK)


async def test_the_newest_build_of_the_type_is_served_until_it_is_retired(hub: RunningHub) -> None:
    await upload(hub, code=1)
    newest = await upload(hub, APK + b"2", code=2)
    await upload(hub, APK + b"3", code=9, build_type="release")
    assert (await hub.client.get(LATEST, headers=ADMIN)).content == APK + b"2"
    await hub.client.delete(f"/admin/apk-builds/{newest['build_id']}", headers=ADMIN)
    assert (await hub.client.get(LATEST, headers=ADMIN)).content == APK


async def test_an_upload_repeated_is_the_same_build_and_a_different_one_is_refused(
    hub: RunningHub, tmp_path: Path
) -> None:
    first, again = await upload(hub), await upload(hub)
    query = {"version_code": 7, "version_name": "1.7", "build_type": "debug"}
    other = await hub.client.post("/admin/apk-builds", params=query, content=APK + b"x", headers=ADMIN)
    assert (first["build_id"] == again["build_id"], other.status_code) == (True, 409)
    assert "new version code" in other.json()["detail"]
    assert len(await hub.rows(select(apk_builds))) == 1
    assert files(tmp_path) == {name_of(APK)}, "of what was refused nothing stays"
    (await hub.client.get(LATEST, headers=ADMIN)).raise_for_status()


async def test_what_is_no_apk_or_too_big_is_refused_and_nothing_stays(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", apk_max_bytes=1000) as hub:
        query = {"version_code": 7, "version_name": "1.7", "build_type": "debug"}

        async def parts(content: bytes) -> object:
            for start in range(0, len(content), 100):
                yield content[start : start + 100]

        for content, code in ((b"MZ" + bytes(100), 422), (APK, 413)):
            for body in (content, parts(content)):
                answer = await hub.client.post("/admin/apk-builds", params=query, content=body, headers=ADMIN)
                assert answer.status_code == code
        assert await hub.rows(select(apk_builds)) == []
        assert files(tmp_path) == set()


async def test_a_refused_upload_takes_no_file_of_another_build_with_it(hub: RunningHub, tmp_path: Path) -> None:
    await upload(hub, code=7)
    await upload(hub, APK + b"8", code=8)
    query = {"version_code": 8, "version_name": "1.8", "build_type": "debug"}
    refused = await hub.client.post("/admin/apk-builds", params=query, content=APK, headers=ADMIN)
    assert refused.status_code == 409
    assert files(tmp_path) == {name_of(APK), name_of(APK + b"8")}


async def test_a_retired_build_keeps_its_file_for_an_hour_and_uploaded_again_is_served_again(
    hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(hub, code=6)
    newest = await upload(hub, APK + b"7", code=7)
    await hub.client.delete(f"/admin/apk-builds/{newest['build_id']}", headers=ADMIN)
    assert await retention.clean(hub.hub) == 0
    monkeypatch.setattr("hub.apk_files.now_ms", lambda: now_ms() + 3_700_000)
    assert await retention.clean(hub.hub) == 1
    assert files(tmp_path) == {name_of(APK)}
    assert (await hub.client.get(LATEST, headers=ADMIN)).content == APK
    again = await upload(hub, APK + b"7", code=7)
    assert (again["build_id"], again["retired_at"]) == (newest["build_id"], None)
    assert (await hub.client.get(LATEST, headers=ADMIN)).content == APK + b"7"
    assert await retention.clean(hub.hub) == 0
    assert files(tmp_path) == {name_of(APK), name_of(APK + b"7")}


async def test_what_a_killed_hub_left_is_removed_at_the_start_and_what_is_being_uploaded_is_not(tmp_path: Path) -> None:
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db") as hub:
        await upload(hub)
    left = tmp_path / "apk" / ".0123456789abcdef.partial"
    left.write_bytes(APK)
    (tmp_path / "apk" / name_of(b"no build")).write_bytes(b"no build")
    (tmp_path / ".hub.json.01234567").write_bytes(b"{")
    (tmp_path / ".hub.json.other").write_bytes(b"not the hub's")
    async with running(tmp_path, f"sqlite:///{tmp_path}/hub.db", broker_users_file=tmp_path / "hub.json") as hub:
        await hub.until(lambda: files(tmp_path) == {name_of(APK)})
        assert not (tmp_path / ".hub.json.01234567").exists()
        assert (tmp_path / ".hub.json.other").exists()
        half = asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            yield APK
            half.set()
            assert await retention.clean(hub.hub) == 0, "an upload in progress is left alone"
            yield b"8"

        query = {"version_code": 8, "version_name": "1.8", "build_type": "debug"}
        answer = await hub.client.post("/admin/apk-builds", params=query, content=slowly(), headers=ADMIN)
        assert (answer.status_code, half.is_set()) == (200, True)
        assert (await hub.client.get(LATEST, headers=ADMIN)).content == APK + b"8"
        assert files(tmp_path) == {name_of(APK), name_of(APK + b"8")}


async def test_uploads_of_the_same_file_at_once_never_lose_it(lite: RunningHub, tmp_path: Path) -> None:
    """One version is taken, the others are other files for it; and one of them is taken as another version."""
    await upload(lite, APK + b"0", code=1)

    async def send(code: int) -> int:
        query = {"version_code": code, "version_name": "1", "build_type": "debug"}
        return (await lite.client.post("/admin/apk-builds", params=query, content=APK, headers=ADMIN)).status_code

    async def clean() -> int:
        return await retention.clean(lite.hub)

    codes = await asyncio.gather(*(send(2 if n == 5 else 1) for n in range(10)), *(clean() for _ in range(5)))
    assert sorted(codes[:10]) == [200] + [409] * 9
    assert files(tmp_path) == {name_of(APK), name_of(APK + b"0")}
    assert (await lite.client.get(LATEST, headers=ADMIN)).content == APK


async def test_a_card_that_is_slow_to_store_an_upload_stops_nothing_else(
    lite: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, slow = threading.Semaphore(0), os.fsync
    answered = threading.Semaphore(0)
    waited: list[bool] = []

    def fsync(fd: int) -> None:
        asked.release()
        waited.append(answered.acquire(timeout=30))
        slow(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    uploading = asyncio.create_task(upload(lite))
    for _ in ("the file", "its name"):
        assert await asyncio.to_thread(asked.acquire, timeout=30)
        assert (await lite.client.get("/healthz")).status_code == 200
        answered.release()
    build = await uploading
    assert waited == [True, True]
    assert build["sha256"] == hashlib.sha256(APK).hexdigest()


@pytest.mark.parametrize("swap", ["gone", "symlink", "longer"])
async def test_a_file_that_is_not_what_was_uploaded_is_not_served(hub: RunningHub, tmp_path: Path, swap: str) -> None:
    await upload(hub)
    (file,) = (tmp_path / "apk").iterdir()
    file.unlink()
    secret = tmp_path / "secret"
    secret.write_bytes(APK)
    if swap == "symlink":
        file.symlink_to(secret)
    if swap == "longer":
        file.write_bytes(APK + b"!")
    answer = await hub.client.get(LATEST, headers=ADMIN)
    assert answer.status_code == 503
    assert await events(hub) == []
    assert hub.lines("apk.download.fail")[-1]["level"] == "error"


@pytest.mark.parametrize("build_type", ["..%2f..%2fetc", "/etc/passwd", "debug%00", "other"])
async def test_a_build_type_is_no_path(lite: RunningHub, build_type: str) -> None:
    answer = await lite.client.get(f"{LATEST}?build_type={build_type}", headers=ADMIN)
    assert answer.status_code == 422
    (line,) = lite.lines("apk.download.fail")
    unknown = ("build_id", "version_code", "version_name", "build_type", "token_id", "source")
    assert {key: line[key] for key in unknown} == dict.fromkeys(unknown)


async def test_the_token_of_a_device_that_was_revoked_is_good_for_nothing_and_stays_so(hub: RunningHub) -> None:
    await upload(hub)
    token, other = await hub.new_token(), await hub.new_token()
    await hub.enrol("a", token=token)
    await hub.enrol("b", token=other)
    wait = {"params": {"method": "ble", "timeout": 0.01}, "headers": bearer(token)}
    assert (await hub.client.get(LATEST, headers=bearer(token))).status_code == 200, (
        "after it registered its device too"
    )
    assert (await hub.client.get("/provision/wait", **wait)).status_code == 200
    assert (await hub.client.delete("/admin/devices/a", headers=ADMIN)).status_code == 200
    for _ in range(2):
        answer = await hub.client.get(LATEST, headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")
        assert (await hub.client.get("/provision/wait", **wait)).status_code == 401
        assert (await hub.client.get(LATEST, headers=bearer(other))).status_code == 200
        await hub.enrol("a", token=await hub.new_token(device_id="a"))


async def test_a_revoked_token_downloads_nothing(hub: RunningHub) -> None:
    await upload(hub)
    token = await hub.new_token()
    await hub.client.delete(f"/admin/tokens/{token.partition('.')[0]}", headers=ADMIN)
    answer = await hub.client.get(LATEST, headers=bearer(token))
    assert (answer.status_code, answer.json()["code"]) == (401, "token_revoked")
    assert (await hub.client.get(LATEST)).status_code == 401
    assert await events(hub) == []
    refused, nobody = hub.lines("apk.download.fail")
    assert (refused["token_id"], refused["source"]) == (token.partition(".")[0][-4:], "enrollment")
    assert (nobody["token_id"], nobody["source"]) == (None, None)


async def test_an_expired_token_is_good_for_nothing_though_it_was_used_in_time(hub: RunningHub) -> None:
    await upload(hub)
    token = await hub.new_token()
    registered = await hub.client.post("/v1/register", json={"device_id": "a", "token": token})
    assert registered.status_code == 200
    assert (await hub.client.get(LATEST, headers=bearer(token))).status_code == 200
    over = update(enrolment_tokens).values(expires_at=now_ms() - 1)
    await hub.hub.db.write(lambda conn: conn.execute(over) and None)
    for path in (LATEST, "/provision/wait?method=ble&timeout=0.1"):
        answer = await hub.client.get(path, headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (401, "token_expired")
    assert len(await events(hub)) == 1
    expected = {"level": "warning", "reason": "expired", "token_id": token.partition(".")[0][-4:]}
    told = hub.lines("sec.token.expired")
    assert [line["route"] for line in told] == [LATEST, "/provision/wait"]
    assert all(expected.items() <= line.items() for line in told)
    (failed,) = hub.lines("apk.download.fail")
    assert (failed["token_id"], failed["source"]) == (expected["token_id"], "enrollment")


async def test_many_downloads_at_once_leave_a_row_each(hub: RunningHub) -> None:
    await upload(hub)
    tokens = [await hub.new_token() for _ in range(10)]
    answers = await asyncio.gather(*(hub.client.get(LATEST, headers=bearer(token)) for token in tokens))
    assert all(a.content == APK for a in answers)
    assert len(await events(hub)) == 10
