"""Which device this is: a name from its serial number or MAC address, and a token nobody can guess."""

import hashlib
import re
import secrets
import string
from pathlib import Path

from agent.request import SUFFIX

TOKEN_LENGTH = 32
"""ThingsBoard takes at most 32 characters; 32 letters and digits are 190 random bits."""


def serial_number(system: Path = Path("/")) -> str | None:
    """What names the hardware: the board's serial number, else the first real network card's MAC; hex, None if neither.

    `system` is the root folder, given by tests.
    """
    candidates = [system / "proc/device-tree/serial-number"]
    cards = sorted((system / "sys/class/net").glob("*"))
    candidates += [card / "address" for card in cards if (card / "device").exists()]
    for path in candidates:
        try:
            text = path.read_bytes()[:64].decode("ascii", "replace").strip("\0 \n").replace(":", "").lower()
        except OSError:
            continue
        if re.fullmatch(r"[0-9a-f]{6,32}", text) and text.strip("0") and not _made_up(path, text):
            return text
    return None


def _made_up(path: Path, text: str) -> bool:
    # A MAC with this bit is chosen by software (a container, a random one): it may be another one tomorrow.
    return path.name == "address" and bool(int(text[:2], 16) & 2)


def suffix(serial: str, number: int) -> str:
    """Six hex digits: the last of the serial number, which people find on the label; later numbers are hashes of it."""
    if number == 0:
        return serial[-6:]
    return hashlib.sha256(f"{serial}:{number}".encode()).hexdigest()[:6]


def complete(template: str, serial: str, number: int) -> str:
    """The device's name; `number` counts the names that were taken before it."""
    return template.replace(SUFFIX, suffix(serial, number))


def random_serial() -> str:
    """For hardware without a number of its own; kept in the journal."""
    return secrets.token_hex(8)


def new_token() -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(TOKEN_LENGTH))
