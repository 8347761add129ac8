"""The Range header (RFC 9110, 14): what of it is to be sent."""

import re
from typing import Final

MOST: Final = 100
"""Who asks for more pieces gets the whole."""
_BYTES: Final = re.compile(r"\s*bytes\s*=(.*)\Z", re.I)
_RANGE: Final = re.compile(r"[ \t]*([0-9]*)-([0-9]*)[ \t]*\Z")


def asked(header: str | None, size: int) -> list[tuple[int, int]] | None:
    """First and last byte of each range that begins within `size` bytes, in the order of the header; may be empty.

    None: there is no range, or one that is to be ignored (malformed, or of another unit).
    """
    found = _BYTES.match(header or "")
    specs = found[1].split(",") if found else []
    if not 0 < len(specs) <= MOST:
        return None
    ranges = []
    for spec in specs:
        parts = _RANGE.match(spec)
        if parts is None or not (parts[1] or parts[2]):
            return None
        if parts[1]:
            first, last = _number(parts[1]), _number(parts[2]) if parts[2] else size - 1
            if parts[2] and last < first:
                return None
        else:
            first, last = max(0, size - _number(parts[2])), size - 1
        if first < size:
            ranges.append((first, min(last, size - 1)))
    return ranges


def _number(digits: str) -> int:
    """Numbers beyond every file's size need not be told apart."""
    return int(digits.lstrip("0")[:19] or "0")
