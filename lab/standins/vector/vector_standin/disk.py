"""A queue of records in files, that survives being killed at any instruction.

A folder holds segments (`buffer-data-<n>.dat`), each a row of records, and a ledger: which record is the oldest that
is not acknowledged. A record is its length, the CRC-32 of its bytes, its bytes. Records are written to the kernel at
once, so that only a power loss costs what the last fsync (every 500 ms) has not seen; a torn record at the end is cut
off when the queue is opened. What was read but not acknowledged is read again after a restart.
"""

import fcntl
import json
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from vector_standin.schema import Refused

HEADER = struct.Struct(">II")
SEGMENT_BYTES = 8 << 20
READ_BYTES = 4 << 20
LEDGER = "ledger.json"


def _records(data: bytes) -> Iterator[bytes]:
    """The whole records at the start of a segment's content."""
    at = 0
    while at + HEADER.size <= len(data):
        length, crc = HEADER.unpack_from(data, at)
        record = data[at + HEADER.size : at + HEADER.size + length]
        if len(record) < length or zlib.crc32(record) != crc:
            return
        yield record
        at += HEADER.size + length


class DiskQueue:
    """Not thread-safe but for `sync`. `count` and `size` (bytes) are of what is not acknowledged yet."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._segment_bytes = folder, segment_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / "buffer.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused([f"{folder}: another process holds this buffer"]) from None
        self._first, self._done = self._ledger()
        self._per_segment: dict[int, int] = {}
        self._sizes: deque[int] = deque()
        self.size = 0
        self._open_segments()
        self._read_segment, self._read_index = self._first, self._done
        self._read_offset = self._done_bytes
        self.unread = self.count

    @property
    def count(self) -> int:
        return len(self._sizes)

    def _path(self, segment: int) -> Path:
        return self._folder / f"buffer-data-{segment}.dat"

    def _ledger(self) -> tuple[int, int]:
        try:
            ledger = json.loads((self._folder / LEDGER).read_text())
            return int(ledger["segment"]), int(ledger["acknowledged"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0, 0

    def _open_segments(self) -> None:
        """Counts what is there, cuts a torn record off the last segment, and opens it for more."""
        numbers = sorted(int(path.stem.rpartition("-")[2]) for path in self._folder.glob("buffer-data-*.dat"))
        for number in [n for n in numbers if n < self._first]:
            self._path(number).unlink()
        numbers = [n for n in numbers if n >= self._first]
        if self._first not in numbers:
            self._first, self._done = min(numbers, default=self._first), 0
        self._done_bytes = self._written = 0
        for number in numbers:
            sizes = [HEADER.size + len(record) for record in _records(self._path(number).read_bytes())]
            self._per_segment[number] = len(sizes)
            self._written = sum(sizes)
            if number == self._first:
                self._done = min(self._done, len(sizes))
                self._done_bytes = sum(sizes[: self._done])
                sizes = sizes[self._done :]
            self._sizes.extend(sizes)
        self.size = sum(self._sizes)
        self._last = max(numbers, default=self._first)
        self._per_segment.setdefault(self._last, 0)
        self._file = os.open(self._path(self._last), os.O_WRONLY | os.O_CREAT, 0o644)
        os.ftruncate(self._file, self._written)
        os.lseek(self._file, 0, os.SEEK_END)
        self._dirty = True

    def append(self, records: Sequence[bytes]) -> None:
        if self._written >= self._segment_bytes:
            os.fsync(self._file)
            os.close(self._file)
            self._last += 1
            self._written = 0
            self._per_segment[self._last] = 0
            self._file = os.open(self._path(self._last), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        data = b"".join(HEADER.pack(len(record), zlib.crc32(record)) + record for record in records)
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self._written += len(data)
        self._per_segment[self._last] += len(records)
        self._sizes.extend(HEADER.size + len(record) for record in records)
        self.size += len(data)
        self.unread += len(records)
        self._dirty = True

    def read(self, most: int) -> list[bytes]:
        """The next records not read yet, at most `most`, from one segment."""
        if not self.unread:
            return []
        # A segment that was read to its end and acknowledged is not known any more.
        while self._read_index >= self._per_segment.get(self._read_segment, 0):
            self._read_segment, self._read_index, self._read_offset = self._read_segment + 1, 0, 0
        with self._path(self._read_segment).open("rb") as file:
            file.seek(self._read_offset)
            found = list(islice(_records(file.read(READ_BYTES)), most))
        self._read_index += len(found)
        self._read_offset += sum(HEADER.size + len(record) for record in found)
        self.unread -= len(found)
        return found

    def acknowledge(self, count: int) -> None:
        self.size -= sum(self._sizes.popleft() for _ in range(count))
        self._done += count
        finished = []
        while self._first < self._last and self._done >= self._per_segment[self._first]:
            self._done -= self._per_segment.pop(self._first)
            finished.append(self._first)
            self._first += 1
        # The ledger first: a segment that it no longer names is deleted when the queue is opened again.
        new = self._folder / f"{LEDGER}.new"
        new.write_text(json.dumps({"segment": self._first, "acknowledged": self._done}))
        new.replace(self._folder / LEDGER)
        for segment in finished:
            self._path(segment).unlink()

    def sync(self) -> None:
        """Make what was written so far outlast a power loss."""
        if self._dirty:
            self._dirty = False
            file = os.open(self._path(self._last), os.O_RDONLY)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def release(self) -> None:
        """Close its files; another process may have the folder now."""
        os.close(self._file)
        os.close(self._lock)
