"""A disk without room: the hub says so, goes on with what needs none, and stores again when there is room."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hub_away import read_only
from hub_servers import enrol, hub_env, wait_until
from hub_support import ADMIN, Postgres, RunningHub, running
from sqlalchemy import select

from hub.store.tables import nonces
from lab.ports import free_port

pytest_plugins = ["hub_fixtures"]
pytestmark = pytest.mark.services
WELL = {"status": "ok", "problems": {}}
FULL = {"status": "unavailable", "problems": {"database": "it takes no writes; the log says why"}}


@contextlib.contextmanager
def hub_on_a_small_disk(folder: Path) -> Iterator[tuple[httpx.Client, Path]]:
    """A hub whose database is on a disk of 3 MB of its own, and that disk as it is seen from here."""
    disk, port = folder / "disk", free_port()
    disk.mkdir()
    env = hub_env(folder, f"sqlite:///{disk}/hub.db", HUB_PORT=str(port))
    script = 'mount -t tmpfs -o size=3m tmpfs "$D"; exec "$P" -m hub'
    argv = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-ec", script]
    given = {**os.environ, **env, "D": str(disk), "P": sys.executable}
    process = subprocess.Popen(argv, env=given, stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=ADMIN, timeout=60, trust_env=False) as client:
            wait_until("the hub is ready", lambda: client.get("/readyz").status_code == 200)
            yield client, Path(f"/proc/{process.pid}/root{disk}")
    finally:
        process.terminate()
        process.wait(20)


def test_a_full_disk_makes_the_hub_unready_and_room_makes_it_ready_again(tmp_path: Path) -> None:
    with hub_on_a_small_disk(tmp_path) as (client, disk):
        device = enrol(client, "tablet-1")
        beat = {"status": "x" * 30}

        def sent(number: int) -> int:
            return client.post("/v1/heartbeat", json=beat | {"heartbeat_id": f"b-{number}"}, headers=device).status_code

        assert sent(0) == 200
        assert client.get("/readyz").json() == WELL
        with (disk / "fill").open("wb", buffering=0) as fill, contextlib.suppress(OSError):
            while True:
                fill.write(bytes(4096))
        codes = [sent(number) for number in range(1, 400)]
        assert codes[-1] == 503
        wait_until("readyz says so", lambda: (r := client.get("/readyz")).status_code == 503 and r.json() == FULL)
        assert client.get("/live/view").json()["problems"] == FULL["problems"], "the page says it too"
        assert client.get("/healthz").status_code == 200
        (disk / "fill").unlink()
        wait_until("it is ready again, though nobody wrote", lambda: client.get("/readyz").json() == WELL)
        assert sent(1000) == 200


@pytest.mark.anyio
async def test_a_try_leaves_nothing_and_a_small_one_that_is_well_does_not_hide_writes_that_fail(
    lite: RunningHub,
) -> None:
    device = await lite.enrol()
    assert (await lite.client.get("/readyz")).json() == WELL
    assert await lite.rows(select(nonces)) == []

    async def sent(number: int) -> int:
        beat = {"status": "x" * 30, "heartbeat_id": f"b-{number}"}
        return (await lite.client.post("/v1/heartbeat", json=beat, headers=device)).status_code

    await lite.hub.db.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1") and None)
    codes = [await sent(number) for number in range(300)]
    assert codes[-1] == 503
    answer = await lite.client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, FULL)
    await lite.hub.db.write(lambda conn: conn.exec_driver_sql("PRAGMA max_page_count=1000000") and None)

    async def well() -> bool:
        return bool((await lite.client.get("/readyz")).json() == WELL)

    await lite.until(well, 30)
    assert await sent(1000) == 200


@pytest.mark.anyio
async def test_a_postgresql_that_takes_no_writes_makes_the_hub_unready_too(tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.new_database()
    async with running(tmp_path, url) as hub:
        device = await hub.enrol()

        async def sent() -> int:
            return (await hub.client.post("/v1/heartbeat", json={"status": "ok"}, headers=device)).status_code

        async def ready() -> bool:
            return bool((await hub.client.get("/readyz")).json() == WELL)

        assert await sent() == 200
        await read_only(url, "on")
        assert await sent() == 503
        answer = await hub.client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, FULL)
        assert (await hub.client.get("/admin/devices", headers=ADMIN)).status_code == 200, "it is read as before"
        await read_only(url, "off")
        await hub.until(ready, 30)
        assert await sent() == 200
