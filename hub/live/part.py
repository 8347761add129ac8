"""The part of the hub that keeps pages up to date."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from hub.live.outside import Outside
from hub.service import Hub

LOOK_SECONDS: Final = 0.5
HEALTH_SECONDS: Final = 10.0
AGAIN_SECONDS: Final = 2.0
"""Until what was away is asked again."""


@contextlib.asynccontextmanager
async def live(hub: Hub) -> AsyncIterator[None]:
    hub.outside = Outside(hub.settings, hub.problems)
    hub.metrics.live_sessions.set_function(lambda: hub.live.pages)
    hub.metrics.live_queue.set_function(lambda: hub.live.deepest)

    async def look() -> None:
        """Tell pages that waits or devices changed, at most twice a second, however much happens."""
        before = None
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            registry = hub.metrics
            now = (len(hub.provisioning.waits), _total(registry.heartbeats), _total(registry.state_messages))
            if before is not None and now != before and hub.live.pages:
                hub.live.publish("changed", {})
            before = now

    async def watch() -> None:
        """Know the health of the stack also while no page asks for it: /readyz tells it."""
        while parts := await hub.outside.health():
            await asyncio.sleep(HEALTH_SECONDS if all(part["ok"] for part in parts) else AGAIN_SECONDS)

    tasks = [asyncio.create_task(look()), asyncio.create_task(watch())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await hub.outside.close()


def _total(counter: object) -> float:
    return sum(s.value for m in counter.collect() for s in m.samples if s.name.endswith("_total"))  # type: ignore[attr-defined]
