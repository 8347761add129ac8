"""How late the event loop is: a timer that should ring every half second, and by how much it is late."""

import asyncio
from typing import Final

from hub.metrics import Metrics

PERIOD: Final = 0.5


async def measure_lag(metrics: Metrics) -> None:
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + PERIOD
        await asyncio.sleep(PERIOD)
        metrics.loop_lag.observe(max(0.0, loop.time() - due))
