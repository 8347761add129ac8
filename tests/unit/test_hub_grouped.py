"""The hub's writes in groups, over a database that is none."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from hub.store.database import Unavailable, Work
from hub.store.grouped import GROUP, Grouped


class OneByOne:
    """A database that refuses one item, with all that are in its group; writes begin in turn, or side by side.

    None of them ends before `may_commit`.
    """

    def __init__(self, *, in_turn: bool = True) -> None:
        self.in_turn = in_turn
        self.groups: list[list[str]] = []
        self.running = self.most = 0
        self.closed = False
        self.away = 0
        """So many groups find it away."""
        self.failures = 0
        self.may_commit = asyncio.Event()
        self._turn = asyncio.Lock()

    async def write(self, work: Work[Any]) -> Any:
        if self.closed:
            raise Unavailable("closed")
        async with self._turn if self.in_turn else contextlib.nullcontext():
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                answers = work(None)  # type: ignore[arg-type]
                await self.may_commit.wait()
                return answers
            finally:
                self.running -= 1

    def work(self, items: Sequence[str]) -> Work[list[str | Exception]]:
        def work(_: object) -> list[str | Exception]:
            self.groups.append(list(items))
            if self.away:
                self.away -= 1
                raise Unavailable("away")
            if "away" in items:
                raise Unavailable("the database is away")
            if "poison" in items:
                raise ValueError("poison")
            return [KeyError(item) if item == "refused" else item.upper() for item in items]

        return work


async def _grouped(database: OneByOne, *pauses: Sequence[str]) -> list[Any]:
    """What is answered to items that come in some turns of the event loop."""
    grouped: Grouped[str, str] = Grouped(database, database.work)  # type: ignore[arg-type]
    answers = []
    for items in pauses:
        answers += [asyncio.create_task(grouped.store(item)) for item in items]
        await asyncio.sleep(0.001)
    database.may_commit.set()
    return await asyncio.wait_for(asyncio.gather(*answers, return_exceptions=True), 60)


SIDE_BY_SIDE = pytest.mark.parametrize("in_turn", [True, False])


@SIDE_BY_SIDE
def test_an_item_that_cannot_be_stored_takes_no_other_with_it(in_turn: bool) -> None:
    database = OneByOne(in_turn=in_turn)
    answers = asyncio.run(_grouped(database, ["a", "poison", "refused", "b"]))
    assert [type(answer) for answer in answers] == [str, ValueError, KeyError, str]
    assert (answers[0], answers[3]) == ("A", "B")
    assert database.groups == [["a", "poison", "refused", "b"], ["a"], ["poison"], ["refused"], ["b"]]


@SIDE_BY_SIDE
def test_what_comes_while_a_group_is_committed_is_the_next(in_turn: bool) -> None:
    database = OneByOne(in_turn=in_turn)
    many = [str(n) for n in range(GROUP + 100)]
    answers = asyncio.run(_grouped(database, ["a"], ["b"], ["c", "d"], many))
    assert answers == ["A", "B", "C", "D", *many]
    assert database.most == 1
    assert database.groups == [["a"], ["b", "c", "d", *many[: GROUP - 3]], many[GROUP - 3 :]]


@SIDE_BY_SIDE
def test_what_comes_after_a_group_with_an_item_that_cannot_be_stored_is_stored_after_it(in_turn: bool) -> None:
    database = OneByOne(in_turn=in_turn)
    answers = asyncio.run(_grouped(database, ["a", "poison", "b"], ["c"], ["d"]))
    assert [str(answer) for answer in answers] == ["A", "poison", "B", "C", "D"]
    assert database.groups == [["a", "poison", "b"], ["a"], ["poison"], ["b"], ["c", "d"]]


@SIDE_BY_SIDE
def test_without_its_database_a_group_is_not_tried_one_by_one(in_turn: bool) -> None:
    database = OneByOne(in_turn=in_turn)
    answers = asyncio.run(_grouped(database, ["a", "away", "b"], ["c"]))
    assert [type(answer) for answer in answers] == [Unavailable] * 3 + [str]
    assert len(database.groups) == 2


async def _closed_and_opened() -> tuple[list[Any], list[Any]]:
    database = OneByOne()
    grouped: Grouped[str, str] = Grouped(database, database.work)  # type: ignore[arg-type]
    database.may_commit.set()
    database.closed = True
    refused = await asyncio.gather(*map(grouped.store, "ab"), return_exceptions=True)
    database.closed = False
    return refused, await asyncio.wait_for(asyncio.gather(*map(grouped.store, "cd")), 60)


def test_a_database_that_takes_no_work_refuses_all_that_wait_and_then_works_again() -> None:
    refused, taken = asyncio.run(_closed_and_opened())
    assert [str(answer) for answer in refused] == ["closed", "closed"]
    assert taken == ["C", "D"]


async def _insisting() -> tuple[OneByOne, list[Any]]:
    """Two that insist and one that does not in a group that fails twice, and one of each that come behind it."""
    database = OneByOne(in_turn=False)
    database.may_commit.set()
    database.away = 2
    grouped: Grouped[str, str] = Grouped(database, database.work)  # type: ignore[arg-type]
    asked = [grouped.store(item, insist=item.isalpha()) for item in ("a", "1", "b")]
    tasks = [asyncio.create_task(one) for one in asked]
    while database.away == 2:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(grouped.store(item, insist=item.isalpha())) for item in ("c", "2")]
    return database, await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)


def test_those_that_insist_are_stored_in_their_order_when_the_database_is_there_again() -> None:
    database, answers = asyncio.run(_insisting())
    assert [str(answer) for answer in answers] == ["A", "away", "B", "C", "away"]
    assert database.groups == [["a", "1", "b"], ["a", "b", "c", "2"], ["a", "b", "c"]]
