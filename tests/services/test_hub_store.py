"""Storage: migrations, durable writes, retention, backup, on both databases."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hub_support import ADMIN_TOKEN, Postgres, RunningHub, running
from sqlalchemy import Connection, Table, func, select, text, update
from typer.testing import CliRunner

from hub import cli, retention
from hub.ids import digest, new_token, now_ms
from hub.store import Unavailable, open_database
from hub.store.tables import devices, enrolment_tokens, heartbeats, metadata, provision_audit, run_chunks, runs

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.anyio, pytest.mark.services]


async def test_the_migrations_make_exactly_the_tables(database_url: str) -> None:
    db = await open_database(database_url)
    differences = await db.read(lambda conn: compare_metadata(MigrationContext.configure(conn), metadata))
    await db.close()
    assert differences == []


async def test_an_old_database_is_opened_again_with_its_rows(database_url: str) -> None:
    for expected in (0, 1):
        db = await open_database(database_url)
        assert await db.read(lambda conn: conn.execute(select(func.count()).select_from(devices)).scalar()) == expected
        row = {"device_id": "a", "kind": "plant", "created_at": 1}
        if not expected:
            await db.write(lambda conn, row=row: conn.execute(devices.insert().values(**row)) and None)
        await db.close()


async def test_a_database_of_a_newer_hub_is_used_as_it_is(database_url: str) -> None:
    """As after a rollback of a deploy."""
    db = await open_database(database_url)
    newer = text("UPDATE alembic_version SET version_num = '9999'")
    await db.write(lambda conn: conn.execute(newer) and None)
    await db.close()
    db = await open_database(database_url)
    row = {"device_id": "a", "kind": "plant", "created_at": 1}
    await db.write(lambda conn: conn.execute(devices.insert().values(**row)) and None)
    revision = await db.read(lambda conn: MigrationContext.configure(conn).get_current_revision())
    await db.close()
    assert revision == "9999"


async def test_what_fails_in_a_group_takes_nothing_else_with_it(database_url: str) -> None:
    db = await open_database(database_url)

    def insert(n: int) -> object:
        def work(conn: Connection) -> int:
            conn.execute(devices.insert().values(device_id=f"d{n}", kind="plant", created_at=n))
            if n % 3 == 0:
                raise ValueError(n)
            return n

        return work

    results = await asyncio.gather(*(db.write(insert(n)) for n in range(30)), return_exceptions=True)
    stored = await db.read(lambda conn: {row[0] for row in conn.execute(select(devices.c.device_id))})
    await db.close()
    assert [isinstance(r, ValueError) for r in results] == [n % 3 == 0 for n in range(30)]
    assert stored == {f"d{n}" for n in range(30) if n % 3}


async def test_a_closed_database_refuses_instead_of_hanging(database_url: str) -> None:
    db = await open_database(database_url)
    await db.close()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(db.write(lambda conn: conn.execute(text("SELECT 1")) and None), 5)


async def test_a_caller_that_goes_away_leaves_a_whole_write_behind(database_url: str) -> None:
    db = await open_database(database_url)

    def work(conn: Connection) -> None:
        conn.execute(devices.insert().values(device_id="a", kind="plant", created_at=1))
        conn.execute(update(devices).values(alias="x"))

    for _ in range(3):
        task = asyncio.create_task(db.write(work))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await db.write(lambda conn: None)  # behind those whose callers went away
    stored = await db.read(lambda conn: [tuple(r) for r in conn.execute(select(devices.c.device_id, devices.c.alias))])
    await db.close()
    assert stored == [("a", "x")]


async def test_old_heartbeats_go_and_young_ones_stay(hub: RunningHub) -> None:
    headers = await hub.enrol()
    for name in ("old", "young"):
        await hub.client.post("/v1/heartbeat", json={"status": "ok", "heartbeat_id": name}, headers=headers)
    old = update(heartbeats).where(heartbeats.c.heartbeat_id == "old").values(received_at=1)
    await hub.hub.db.write(lambda conn: conn.execute(old) and None)
    await retention.clean(hub.hub)
    assert [r["heartbeat_id"] for r in await hub.rows(select(heartbeats))] == ["young"]


async def test_old_runs_go_with_their_chunks_but_not_those_in_progress(hub: RunningHub) -> None:
    def work(conn: Connection) -> None:
        conn.execute(devices.insert().values(device_id="a", kind="plant", created_at=1))
        for name, status, created in (("old", "ok", 1), ("going", "running", 1), ("young", "ok", 2**41)):
            row = {"device_id": "a", "action": "x", "params": "{}", "protocol": "mqtt", "timeout_ms": 1}
            conn.execute(runs.insert().values(request_id=name, status=status, created_at=created, **row))
            chunk = {"seq": 0, "stream": "stdout", "data": b"x", "received_at": created}
            conn.execute(run_chunks.insert().values(request_id=name, **chunk))

    await hub.hub.db.write(work)
    await retention.clean(hub.hub)
    assert {r["request_id"] for r in await hub.rows(select(runs))} == {"going", "young"}
    assert {r["request_id"] for r in await hub.rows(select(run_chunks))} == {"going", "young"}


async def test_enrolment_tokens_go_ninety_days_after_their_end_used_or_not(hub: RunningHub) -> None:
    day = 86_400_000
    ends = {"usedLongAgo0": -91, "goneLongAgo0": -91, "goneLately00": -89, "good00000000": 1}

    def work(conn: Connection) -> None:
        for name, days in ends.items():
            row = {"token_id": name, "token_hash": "x", "created_at": 1, "expires_at": now_ms() + days * day}
            used = {"consumed_at": 2, "consumed_by": "a"} if name.startswith("used") else {}
            conn.execute(enrolment_tokens.insert().values(**row, **used))

    await hub.hub.db.write(work)
    await retention.clean(hub.hub)
    assert {r["token_id"] for r in await hub.rows(select(enrolment_tokens))} == {"goneLately00", "good00000000"}


async def test_of_refused_provisioning_the_newest_are_kept(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can be refused: how old they are is no bound."""
    monkeypatch.setattr(retention, "REFUSALS", 20)
    monkeypatch.setattr(retention, "ROWS", 7)
    row = {"transport": "http", "peer": "-", "result": "FAILURE", "reason": "-"}

    def work(conn: Connection) -> None:
        for n in range(50):
            conn.execute(provision_audit.insert().values(**row, request_id=f"r{n}", created_at=now_ms()))

    assert await retention.clean(hub.hub) == 0, "there is none"
    await hub.hub.db.write(work)
    assert await retention.clean(hub.hub) == 30
    assert {r["request_id"] for r in await hub.rows(select(provision_audit))} == {f"r{n}" for n in range(30, 50)}
    assert await retention.clean(hub.hub) == 0


async def test_what_cannot_be_cleaned_stops_nothing_else_from_being_cleaned(
    lite: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lite.enrol()
    row = {"device_id": "tablet-1", "request_id": "r", "received_at": 1, "status": "ok"}
    refused = {"created_at": 1, "request_id": "r", "transport": "http", "peer": "-", "result": "FAILURE", "reason": "-"}

    def work(conn: Connection) -> None:
        conn.execute(heartbeats.insert().values(**row))
        conn.execute(provision_audit.insert().values(**refused))

    await lite.hub.db.write(work)
    (tmp_path / "apk").mkdir(exist_ok=True)
    (tmp_path / "apk" / "0123.apk").write_bytes(b"no build")
    whole = retention.remove_before

    def but_one(table: Table, *about: Any) -> Any:
        if table is heartbeats:
            raise OverflowError("cannot convert float infinity to integer")
        return whole(table, *about)

    monkeypatch.setattr(retention, "remove_before", but_one)
    await retention.clean(lite.hub)
    assert await lite.rows(select(provision_audit)) == []
    assert len(await lite.rows(select(heartbeats))) == 1
    assert list((tmp_path / "apk").iterdir()) == []
    (line,) = lite.lines("retention.fail")
    assert (line["level"], line["what"]) == ("error", "heartbeats")
    monkeypatch.undo()
    assert await retention.clean(lite.hub) == 1


async def test_a_backup_of_a_database_in_use_is_whole(lite: RunningHub, tmp_path: Path) -> None:
    headers = await lite.enrol()
    target = tmp_path / "copy.db"
    env = {"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": lite.hub.settings.database_url}
    beats = [
        lite.client.post("/v1/heartbeat", json={"status": "ok", "uptime_s": n}, headers=headers) for n in range(20)
    ]
    backup = asyncio.to_thread(CliRunner().invoke, cli.app, ["backup", str(target)], env=env)
    done, *_ = await asyncio.gather(backup, *beats)
    assert done.exit_code == 0, done.output
    with sqlite3.connect(target) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM devices").fetchone() == (1,)
    assert target.stat().st_mode & 0o077 == 0
    again = CliRunner().invoke(cli.app, ["backup", str(target)], env=env)
    assert again.exit_code == 2


@pytest.mark.parametrize("command", ["migrate", "serve"])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://hub@127.0.0.1:1/hub", "PostgreSQL cannot be reached"),
        ("sqlite:////proc/none/hub.db", "SQLite cannot open /proc/none/hub.db"),
    ],
)
def test_a_database_that_is_not_there_is_said_in_one_line(command: str, url: str, told: str) -> None:
    env = {"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": url}
    done = CliRunner().invoke(cli.app, [command], env=env)
    assert done.exit_code == 3
    assert "Traceback" not in done.output
    assert told in done.output
    assert len(done.output.splitlines()) == 1


@pytest.mark.parametrize("url", ["postgresql://hub@h:abc/x", "postgresql://hub@h/x?sslmode=always"])
def test_a_database_url_that_is_none_is_a_wrong_setting(url: str) -> None:
    env = {"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": url}
    done = CliRunner().invoke(cli.app, ["serve"], env=env)
    assert done.exit_code == 2
    assert done.output.splitlines()[0] == "hub: wrong settings:"
    assert "HUB_DATABASE_URL: " in done.output
    assert "Traceback" not in done.output


def test_what_libpq_knows_of_a_url_is_known_here(postgres: Postgres) -> None:
    url = postgres.new_database()
    for query, code, told in (
        ("?sslmode=prefer&application_name=hub", 0, ""),
        ("?sslmode=require", 3, "rejected SSL upgrade"),
        ("?sslmode=verify-full&sslrootcert=/nowhere/ca.pem", 3, "No such file"),
        ("_missing", 3, "does not exist"),
    ):
        done = CliRunner().invoke(
            cli.app, ["migrate"], env={"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": url + query}
        )
        assert done.exit_code == code, done.output
        if code:
            assert told in done.output
            assert len(done.output.splitlines()) == 1


def test_the_file_of_the_database_is_for_the_hub_alone(tmp_path: Path) -> None:
    env = {"HUB_ADMIN_TOKEN": ADMIN_TOKEN, "HUB_DATABASE_URL": f"sqlite:///{tmp_path}/data/hub.db"}
    assert CliRunner().invoke(cli.app, ["migrate"], env=env).exit_code == 0
    assert (tmp_path / "data/hub.db").stat().st_mode & 0o077 == 0


async def test_what_fails_in_postgresql_is_logged_without_what_was_to_be_stored(
    tmp_path: Path, postgres: Postgres
) -> None:
    """A full disk is a 503; what nobody expects is a 500, with the traceback."""
    async with running(tmp_path, postgres.new_database()) as hub:
        await hub.enrol("tablet-0")
        secret = new_token()
        for code, status, event in (("53100", 503, "database.unavailable"), ("XX000", 500, "http.error")):
            await hub.hub.db.write(_failing_inserts(code))
            token = await hub.new_token()
            asked = {"device_id": "tablet-1", "token": token, "device_token": secret.text, "fcm_token": "fcm-token-1"}
            assert (await hub.client.post("/v1/register", json=asked)).status_code == status
            (line,) = hub.lines(event)
            assert "it is broken" in json.dumps(line)
            log = json.dumps(hub.lines())
            for hidden in (secret.hash, secret.id, "fcm-token-1", token.partition(".")[0], digest(token[13:])):
                assert hidden not in log


@pytest.mark.parametrize("code", ["40P01", "40001"])
async def test_what_postgresql_takes_back_is_to_be_tried_again_and_no_trouble_of_the_database(
    tmp_path: Path, postgres: Postgres, code: str
) -> None:
    """A deadlock."""
    async with running(tmp_path, postgres.new_database()) as hub:
        await hub.hub.db.write(_failing_inserts(code))
        asked = {"device_id": "tablet-1", "token": await hub.new_token()}
        answer = await hub.client.post("/v1/register", json=asked)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert (await hub.client.get("/readyz")).json() == {"status": "ok", "problems": {}}
        await hub.hub.db.write(lambda conn: conn.execute(text("DROP TRIGGER broken ON devices")) and None)
        assert (await hub.client.post("/v1/register", json=asked)).status_code == 200


async def test_what_fails_in_sqlite_is_logged_without_what_was_to_be_stored(lite: RunningHub) -> None:
    secret, token = new_token(), await lite.new_token()
    fails = "CREATE TRIGGER broken BEFORE INSERT ON devices BEGIN SELECT RAISE(ABORT, 'it is broken'); END"
    await lite.hub.db.write(lambda conn: conn.execute(text(fails)) and None)
    asked = {"device_id": "tablet-1", "token": token, "device_token": secret.text, "fcm_token": "fcm-token-1"}
    assert (await lite.client.post("/v1/register", json=asked)).status_code == 500
    (line,) = lite.lines("http.error")
    assert "it is broken" in line["exception"]
    log = json.dumps(lite.lines())
    for hidden in (secret.hash, secret.id, "fcm-token-1", token.partition(".")[0]):
        assert hidden not in log


def _failing_inserts(code: str) -> Any:
    """No device can be stored from now on."""
    function = f"""CREATE OR REPLACE FUNCTION broken() RETURNS trigger AS
        $$ BEGIN RAISE EXCEPTION 'it is broken' USING ERRCODE = '{code}'; END $$ LANGUAGE plpgsql"""
    trigger = "CREATE OR REPLACE TRIGGER broken BEFORE INSERT ON devices FOR EACH ROW EXECUTE FUNCTION broken()"

    def work(conn: Connection) -> None:
        conn.execute(text(function))
        conn.execute(text(trigger))

    return work
