"""What both databases are asked in the same words: rows as dicts, inserts of what is not there."""

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Column, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult


@cache
def _insert(dialect: str, table: Table) -> Any:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(table).on_conflict_do_nothing()


def insert_new(conn: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row; False when a row with the same key is there already, which is left as it is."""
    result: CursorResult[Any] = conn.execute(_insert(conn.dialect.name, table), values)
    return result.rowcount == 1


@cache
def _insert_returning(table: Table, key: tuple[Column[Any], ...]) -> Any:
    return _insert("postgresql", table).returning(*key)


@cache
def _for_driver(statement: Any, names: tuple[str, ...]) -> tuple[str, Callable[[dict[str, Any]], tuple[Any, ...]]]:
    """A statement as the sqlite3 module takes it, and what makes its values of a row."""
    compiled = statement.compile(dialect=sqlite.dialect(), column_keys=names)
    return str(compiled), itemgetter(*compiled.positiontup)


def execute_many(conn: Connection, statement: Any, values: Sequence[dict[str, Any]]) -> None:
    """Execute a statement for each of some rows with the same names, of numbers and text."""
    if not values:
        return
    if conn.dialect.name == "sqlite":
        # The driver does a row in a fraction of the time that SQLAlchemy takes to prepare it.
        text, of_row = _for_driver(statement, tuple(values[0]))
        conn.connection.cursor().executemany(text, [of_row(row) for row in values])
    else:
        conn.execute(statement, values)


def insert_new_ones(
    conn: Connection, table: Table, values: list[dict[str, Any]], key: tuple[Column[Any], ...]
) -> list[bool]:
    """Insert rows with the same columns; False for each whose key is there already, or came before in `values`."""
    if not values:
        return []
    if conn.dialect.name == "sqlite":
        cursor, (text, of_row) = conn.connection.cursor(), _for_driver(_insert("sqlite", table), tuple(values[0]))
        return [cursor.execute(text, of_row(row)).rowcount == 1 for row in values]
    inserted = {tuple(row) for row in conn.execute(_insert_returning(table, key), values)}
    fresh = []
    for row in values:
        found = tuple(row[column.name] for column in key)
        fresh.append(found in inserted)
        inserted.discard(found)
    return fresh


def rows(conn: Connection, statement: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in conn.execute(statement).mappings()]


def one(conn: Connection, statement: Any) -> dict[str, Any] | None:
    row = conn.execute(statement).mappings().first()
    return dict(row) if row is not None else None
