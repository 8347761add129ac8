"""Storage: tables, migrations and the two databases, SQLite and PostgreSQL, behind one interface."""

from hub.store.database import Database, Overloaded, Unavailable, open_database

__all__ = ["Database", "Overloaded", "Unavailable", "open_database"]
