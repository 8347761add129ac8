"""The part of the hub that provisions devices."""

import contextlib
from collections.abc import AsyncIterator

from hub.service import Hub
from hub.thingsboard.accounts import Accounts
from hub.thingsboard.listener import listener


@contextlib.asynccontextmanager
async def thingsboard(hub: Hub) -> AsyncIterator[None]:
    hub.accounts = Accounts(hub.db, hub.settings.broker_users_file, hub.problems)
    hub.accounts.clean()
    await hub.accounts.publish()
    try:
        async with listener(hub):
            yield
    finally:
        await hub.accounts.close()
