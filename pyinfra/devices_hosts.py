"""A studio's cameras as hosts of pyinfra (see devices.py); STUDIO names the studio, or it is the only one there is."""

import os
import sys
from pathlib import Path

from studio.cli import failure
from studio.devices import chosen
from studio.devices.release import release
from studio.host import HostProblem
from studio.model import InventoryError
from studio.model.loader import only


def _hosts() -> list[tuple[str, dict[str, object]]]:
    found = chosen(release(os.environ.get("STUDIO") or only()).studio, ())
    # A key that was never seen is remembered where ssh looks for it, and one that is another than then refused.
    Path.home().joinpath(".ssh").mkdir(mode=0o700, exist_ok=True)
    keys = {"ssh_strict_host_key_checking": "accept-new"}
    data = {camera.id: {"ssh_hostname": camera.host, "ssh_port": camera.port, **keys} for camera in found}
    users = {camera.id: {"ssh_user": camera.user} for camera in found if camera.user}
    return [(name, {**values, **users.get(name, {})}) for name, values in data.items()]


try:
    cameras = _hosts()
except (InventoryError, HostProblem) as error:
    stop = failure.of(error)
    print(stop, file=sys.stderr)
    raise SystemExit(stop.code if stop else 1) from None
