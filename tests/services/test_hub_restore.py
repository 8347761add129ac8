"""`hub restore`: a backup becomes the database in one step, also after a hub that was killed."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_servers import HubProcess, admin_of, hub_env
from typer.testing import CliRunner, Result

from hub import cli, restore

pytestmark = [pytest.mark.services]


def hub(folder: Path, *args: str | Path, url: str | None = None) -> Result:
    """Run the command in this process; the admin's token is not needed to restore."""
    env = hub_env(folder, url or f"sqlite:///{folder}/hub.db")
    if args[0] == "restore":
        env.pop("HUB_ADMIN_TOKEN")
    return CliRunner().invoke(cli.app, [str(arg) for arg in args], env=env)


def add(database: Path, *names: str) -> None:
    with contextlib.closing(sqlite3.connect(database)) as conn, conn:
        for name in names:
            values = (name.ljust(12, "0"), "hash", 1, 2**41)
            conn.execute(
                "INSERT INTO enrolment_tokens (token_id, token_hash, created_at, expires_at) VALUES (?, ?, ?, ?)",
                values,
            )


def tokens(database: Path) -> set[str]:
    """The tokens of a database that is whole."""
    with contextlib.closing(sqlite3.connect(database)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {row[0].rstrip("0") for row in conn.execute("SELECT token_id FROM enrolment_tokens")}


def kept(folder: Path) -> Path:
    (found,) = (path for path in folder.glob("hub.db.before-*") if not path.name.endswith(("-wal", "-shm")))
    return found


def left_in_wal(folder: Path, *names: str) -> None:
    """Add tokens as a hub does that is killed: they are in -wal only."""
    script = (
        "import os, sqlite3, sys\n"
        "conn = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "conn.execute('PRAGMA journal_mode=WAL')\n"
        "for name in sys.argv[2:]:\n"
        "    conn.execute('INSERT INTO enrolment_tokens (token_id, token_hash, created_at, expires_at)'\n"
        "                 ' VALUES (?, ?, 1, 1)', (name.ljust(12, '0'), 'hash'))\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder / "hub.db"), *names], check=True)
    assert (folder / "hub.db-wal").stat().st_size > 0


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with a database (a, b; b in -wal only) and a backup of before b was added."""
    assert hub(tmp_path, "migrate").exit_code == 0
    add(tmp_path / "hub.db", "a")
    assert hub(tmp_path, "backup", tmp_path / "copy.db").exit_code == 0
    left_in_wal(tmp_path, "b")
    return tmp_path


def test_a_backup_is_restored_after_the_hub_was_killed_and_not_while_it_runs(tmp_path: Path) -> None:
    database = tmp_path / "hub.db"

    def names(client: Any) -> set[str]:
        return {token["note"] for token in client.get("/admin/tokens").json()}

    def make(client: Any, *notes: str) -> None:
        for note in notes:
            client.post("/admin/tokens", json={"note": note}).raise_for_status()

    with HubProcess(tmp_path, f"sqlite:///{database}") as process, admin_of(process) as client:
        make(client, "one", "two", "three")
        assert hub(tmp_path, "backup", tmp_path / "copy.db").exit_code == 0
        make(client, *(f"later {n}" for n in range(50)))
        refused = hub(tmp_path, "restore", tmp_path / "copy.db")
        assert refused.exit_code == 1
        assert f"{database} is in use: stop the hub first" in refused.stderr
        assert len(names(client)) == 53
        make(client, "last")
        process.kill()
        assert (tmp_path / "hub.db-wal").stat().st_size > 0
        done = hub(tmp_path, "restore", tmp_path / "copy.db")
        assert (done.exit_code, done.stderr) == (0, "")
        assert str(kept(tmp_path)) in done.stdout
        assert (database.stat().st_mode & 0o777, sorted(tmp_path.glob(".*"))) == (0o600, [])
        process.start()
        assert names(client) == {"one", "two", "three"}
        make(client, "new")
        assert names(client) == {"one", "two", "three", "new"}
    with contextlib.closing(sqlite3.connect(kept(tmp_path))) as before:
        notes = {row[0] for row in before.execute("SELECT note FROM enrolment_tokens")}
    assert len(notes) == 54
    assert "last" in notes


def test_where_there_is_no_database_the_backup_becomes_it_and_stays_as_it_was(site: Path, tmp_path: Path) -> None:
    backup = (site / "copy.db").read_bytes()
    url = f"sqlite:///{tmp_path}/new/folder/hub.db"
    done = hub(tmp_path, "restore", site / "copy.db", url=url)
    assert (done.exit_code, "of before" in done.stdout) == (0, False)
    assert tokens(tmp_path / "new" / "folder" / "hub.db") == {"a"}
    assert (site / "copy.db").read_bytes() == backup
    assert not list(site.glob("copy.db-*"))


def test_what_is_beside_a_backup_is_part_of_it(site: Path) -> None:
    """The files of a hub that was killed, copied as they were."""
    for end in ("", "-wal"):
        (site / f"files.db{end}").write_bytes((site / f"hub.db{end}").read_bytes())
    assert hub(site, "restore", site / "copy.db").exit_code == 0
    assert tokens(site / "hub.db") == {"a"}
    assert hub(site, "restore", site / "files.db").exit_code == 0
    assert tokens(site / "hub.db") == {"a", "b"}


def spoil(at: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(at(path.read_bytes()))

    return change


def without_devices(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("DROP TABLE devices")


def anothers(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("CREATE TABLE notes (text TEXT)")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: path.unlink(), "there is no file"),
        (spoil(lambda _: b""), "other tables"),
        (spoil(lambda _: b"no database at all" * 1000), "cannot be read as a SQLite database"),
        (spoil(lambda data: data[: len(data) // 2]), "malformed"),
        (spoil(lambda data: data[:8192] + b"\xff" * 40_000 + data[48_192:]), "damaged"),
        (anothers, "other tables"),
        (without_devices, "it has no devices.device_id"),
    ],
    ids=["none", "empty", "text", "half", "spoilt", "another's", "table missing"],
)
def test_what_is_no_good_backup_changes_nothing(site: Path, change: Callable[[Path], None], told: str) -> None:
    change(site / "copy.db")
    before = {path.name: path.read_bytes() for path in site.iterdir() if path.name.startswith("hub.db")}
    refused = hub(site, "restore", site / "copy.db")
    assert refused.exit_code == 1
    assert told in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert {path.name: path.read_bytes() for path in site.iterdir() if path.name.startswith("hub.db")} == before
    assert not list(site.glob(".*"))
    assert tokens(site / "hub.db") == {"a", "b"}


def test_a_damaged_database_is_replaced_and_kept_as_it_was_with_its_wal(site: Path) -> None:
    (site / "hub.db").write_bytes(b"\xff" * 50_000)
    wal = (site / "hub.db-wal").read_bytes()
    assert hub(site, "restore", site / "copy.db").exit_code == 0
    assert tokens(site / "hub.db") == {"a"}
    assert kept(site).read_bytes() == b"\xff" * 50_000
    assert Path(f"{kept(site)}-wal").read_bytes() == wal


def test_the_database_itself_is_no_backup_and_postgresql_has_its_own_way(site: Path) -> None:
    refused = hub(site, "restore", site / "hub.db")
    assert (refused.exit_code, "is the database itself" in refused.stderr) == (1, True)
    refused = hub(site, "restore", site / "copy.db", url="postgresql://hub@127.0.0.1/hub")
    assert (refused.exit_code, "pg_restore" in refused.stderr) == (2, True)


def die_at(step: int, folder: Path) -> None:
    """Restore, and be killed before a step: a change of the file system."""
    left = step

    def killed(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*args: Any, **given: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return change(*args, **given)

        return changed

    os.link = killed(os.link)
    Path.unlink = killed(Path.unlink)  # type: ignore[method-assign]
    Path.replace = killed(Path.replace)  # type: ignore[method-assign]
    restore.sync = killed(restore.sync)
    restore._fold = killed(restore._fold)
    restore.restore(folder / "copy.db", folder / "hub.db")


def test_killed_at_any_step_the_database_is_the_one_of_before_or_the_backup(site: Path) -> None:
    files = {path.name: path.read_bytes() for path in site.iterdir()}
    seen, step, code = [], 0, -signal.SIGKILL
    while code == -signal.SIGKILL and step < 100:
        for path in site.iterdir():
            path.unlink()
        for name, data in files.items():
            (site / name).write_bytes(data)
        process = multiprocessing.get_context("fork").Process(target=die_at, args=(step, site))
        process.start()
        process.join(60)
        code = process.exitcode or 0
        found = tokens(site / "hub.db")
        assert found in ({"a", "b"}, {"a"}), step
        seen.append(found)
        again = hub(site, "restore", site / "copy.db")
        assert again.exit_code == 0, step
        assert tokens(site / "hub.db") == {"a"}
        assert not list(site.glob(".*"))
        assert all(not path.samefile(site / "hub.db") for path in site.glob("hub.db.before-*"))
        step += 1
    assert code == 0
    assert seen == sorted(seen, key=len, reverse=True), "there is one step before which it is the one, then the other"
    assert len([found for found in seen if found == {"a", "b"}]) > 8
    assert len([found for found in seen if found == {"a"}]) > 2
