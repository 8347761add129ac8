"""As many waits as the hub lets in fit into the memory that a deploy gives it."""

import asyncio
import re
import ssl
from pathlib import Path

import pytest
from hub_servers import HubProcess, admin_of, metric, wait_until
from hub_support import ADMIN_TOKEN

from hub.settings import Settings
from lab.ports import free_port

pytest_plugins = ["hub_fixtures"]
pytestmark = [pytest.mark.services]
QUADLET = Path(__file__).parents[1] / "golden" / "lab" / "quadlets" / "hub.container"
MEASURED = 600
FILLED = 0.9
"""Of the memory, at most: the system's own for connections and the hub's other work need the rest."""
BODY = b'{"method":"ble","timeout":600}'
ASK = (
    f"POST /provision/wait HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


async def _waits_cost(hub: HubProcess, port: int, certificate: dict[str, str]) -> float:
    """Megabytes that MEASURED waits over TLS take."""
    trust = ssl.create_default_context(cafile=certificate["HUB_TLS_CERT"])
    with admin_of(hub) as admin:
        writers = []

        async def wait() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            writer.write(ASK)
            writers.append(writer)

        def all_wait(count: int) -> bool:
            return metric(admin, "provision_waits_in_progress") == count

        await wait()
        await asyncio.to_thread(wait_until, "the first waits", lambda: all_wait(1))
        before = hub.megabytes()
        for _ in range(MEASURED // 20):
            await asyncio.gather(*(wait() for _ in range(20)))
        await asyncio.to_thread(wait_until, "all wait", lambda: all_wait(1 + MEASURED))
        taken = hub.megabytes() - before
        for writer in writers:
            writer.transport.abort()
    return taken


def test_all_waits_that_may_be_fit_into_the_memory_of_a_deploy(tmp_path: Path, certificate: dict[str, str]) -> None:
    found = re.search(r"^MemoryMax=(\d+)M$", QUADLET.read_text(), re.MULTILINE)
    assert found
    port = free_port()
    given = {**certificate, "HUB_TLS_PORT": str(port)}
    with HubProcess(tmp_path, f"sqlite:///{tmp_path}/hub.db", **given) as hub:
        rest = hub.megabytes()
        cost = asyncio.run(_waits_cost(hub, port, certificate)) / MEASURED
    most = Settings.model_fields["max_waits"].default
    assert rest + most * cost < FILLED * int(found[1]), f"{rest:.0f} MB at rest, {cost * 1024:.0f} KB a wait"
    assert cost * 1024 > 10, "a wait was measured"
