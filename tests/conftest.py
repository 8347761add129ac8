"""Test processes that run side by side choose their ports in ranges of their own."""

import os

from lab import ports


def _share(of: range) -> range:
    """A port is chosen some time before it is listened on: another process must not choose it in between."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    place = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % count
    width = len(of) // count
    return of[place * width : (place + 1) * width]


ports.OTHERS = _share(ports.OTHERS)
