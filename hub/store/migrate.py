"""Bring a database's tables up to date with alembic, from code: there is no alembic.ini to find."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

SCRIPTS: Final = Path(__file__).parent.parent / "migrations"


def config(conn: Connection) -> Config:
    made = Config()
    made.set_main_option("script_location", str(SCRIPTS))
    made.attributes["connection"] = conn
    return made


def upgrade(conn: Connection, revision: str = "head") -> None:
    """Run the migrations that are missing, within the caller's connection."""
    command.upgrade(config(conn), revision)
