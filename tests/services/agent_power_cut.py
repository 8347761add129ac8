"""What a disk may hold after a power cut, worked out from the calls a program made: what was not synced may be lost.

The model is harsher than most file systems: entries of a folder that were not synced may survive in any combination
(any beginning of them, when there are many), and unsynced bytes of a file may be lost, kept, or kept by half.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.agent_tracer import Effect

Tree = dict[str, bytes]
MOST_COMBINATIONS = 6


@dataclass
class Inode:
    synced: bytes = b""
    now: bytes = b""


@dataclass
class Disk:
    """Files by path; `pending` are changes of names that no sync of their folder has made safe yet."""

    names: dict[str, Inode] = field(default_factory=dict)
    safe: dict[str, Inode] = field(default_factory=dict)
    pending: list[tuple[str, str, Inode]] = field(default_factory=list)

    @classmethod
    def of(cls, tree: Mapping[str, bytes]) -> "Disk":
        names = {path: Inode(data, data) for path, data in tree.items()}
        return cls(dict(names), dict(names))

    def apply(self, effect: Effect) -> None:
        match effect.kind:
            case "create":
                self._change("", effect.path, Inode())
            case "truncate":
                self.names[effect.path].now = b""
            case "write" if effect.path in self.names:
                self.names[effect.path].now += effect.data
            case "rename":
                self._change(effect.path, effect.target, self.names[effect.path])
            case "unlink" if effect.path in self.names:
                self._change(effect.path, "", self.names[effect.path])
            case "fsync" if effect.path in self.names:
                inode = self.names[effect.path]
                inode.synced = inode.now
            case "fsync":
                self._sync_folder(effect.path)

    def _change(self, gone: str, there: str, inode: Inode) -> None:
        self.pending.append((gone, there, inode))
        _change(self.names, gone, there, inode)

    def _sync_folder(self, folder: str) -> None:
        left = []
        for change in self.pending:
            if (change[1] or change[0]).rpartition("/")[0] == folder:
                _change(self.safe, *change)
            else:
                left.append(change)
        self.pending = left

    def after_power_cut(self) -> Iterator[Tree]:
        """Every tree that may be found when the power is back."""
        for survived in _selections(self.pending):
            names = dict(self.safe)
            for change in survived:
                _change(names, *change)
            yield {path: inode.synced for path, inode in names.items()}
            yield {path: inode.now for path, inode in names.items()}
            yield {path: (inode.synced or inode.now[: len(inode.now) // 2]) for path, inode in names.items()}


def _change(names: dict[str, Inode], gone: str, there: str, inode: Inode) -> None:
    if gone and names.get(gone) is inode:
        del names[gone]
    if there:
        names[there] = inode


def _selections(pending: Sequence[tuple[str, str, Inode]]) -> Iterator[Sequence[tuple[str, str, Inode]]]:
    if len(pending) > MOST_COMBINATIONS:
        yield from (pending[:count] for count in range(len(pending) + 1))
        return
    for count in range(len(pending) + 1):
        yield from itertools.combinations(pending, count)


def trees(before: Mapping[str, bytes], effects: Sequence[Effect]) -> Iterator[tuple[int, Tree]]:
    """For each moment (how many effects had happened) every distinct tree that a power cut may leave."""
    disk = Disk.of(before)
    for moment in range(len(effects) + 1):
        seen = set()
        for tree in disk.after_power_cut():
            shape = tuple(sorted(tree.items()))
            if shape not in seen:
                seen.add(shape)
                yield moment, tree
        if moment < len(effects):
            disk.apply(effects[moment])
