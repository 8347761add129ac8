"""Ports of the outer machine's loopback: those that lead to a guest's, and free ones for whoever asks."""

import random
import socket
from collections.abc import Callable
from pathlib import Path

from lab.run import LabError, write_atomically

RECORDER = 9911
GUEST_PORTS = (22, 1883, 8080, 8428, 8443, 8686, 8880, 8883, 8884, 9093, 9100, 9598, RECORDER, 12345)
FIRST = 20000
BLOCK = 20
HOSTS = range(1, 251)
OTHERS = range(26_000, 32_500)
"""Above the hosts', and below those that the kernel gives to clients, who might take one before it is listened on."""
CLAIMS = Path("/run/lock/sensor-pipeline-lab")
"""One file a number in use, naming the folder of the host that has it: ports are the machine's, not a lab's."""


def port_map(index: int) -> dict[int, int]:
    """Guest port to outer port for the host with this number (1 to 250): a block of twenty each, from 20020 on."""
    return {guest: FIRST + BLOCK * index + place for place, guest in enumerate(GUEST_PORTS)}


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of the outer machine's loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def claimed(claims: Path = CLAIMS) -> set[int]:
    """The numbers of all hosts on this machine; a claim ends with its host's folder."""
    found = [claim for claim in claims.glob("[0-9]*") if Path(claim.read_text()).exists()]
    return {int(claim.name) for claim in found}


def claim(index: int, folder: Path, claims: Path = CLAIMS) -> None:
    write_atomically(claims / str(index), str(folder))


def free_index(taken: set[int], free: Callable[[int], bool] = is_free) -> int:
    """The lowest number that is not taken and whose ports are all free.

    Raises:
        LabError: there is none.
    """
    for index in HOSTS:
        if index not in taken and all(free(port) for port in port_map(index).values()):
            return index
    raise LabError(f"no block of {BLOCK} free ports is left above {FIRST}; stop a host first: python -m lab down NAME")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody uses, all different, by chance: others choose at the same time."""
    found = (port for port in random.sample(OTHERS, len(OTHERS)) if is_free(port))
    return [next(found) for _ in range(count)]


def free_port() -> int:
    return free_ports(1)[0]
