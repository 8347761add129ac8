"""Bring a database's tables up to date with alembic, from code: there is no alembic.ini to find.

Migrations only add what an older hub does not mind, so that a deploy can be taken back.
"""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

SCRIPTS: Final = Path(__file__).parent.parent / "migrations"


def config(conn: Connection) -> Config:
    made = Config()
    made.set_main_option("script_location", str(SCRIPTS))
    made.attributes["connection"] = conn
    return made


def upgrade(conn: Connection, revision: str = "head") -> None:
    """Run the migrations that are missing, within the caller's connection; a newer hub's database stays as it is."""
    chosen = config(conn)
    known = {script.revision for script in ScriptDirectory.from_config(chosen).walk_revisions()}
    if MigrationContext.configure(conn).get_current_revision() in {None, *known}:
        command.upgrade(chosen, revision)
