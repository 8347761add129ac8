"""What an agent at rest has in memory, and what only stands by for a module."""

import subprocess
import sys
from pathlib import Path

from agent import config, rarely_used

ROOT = Path(config.__file__).parents[1]
HEAVY = {"dataclasses", "inspect", "shutil", "random", "secrets", "http", "agent.provision", "agent.registration"}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after some code; none that only stands by for one."""
    tell = "import sys; print(*(n for n, m in sys.modules.items() if getattr(m, '__spec__', None)))"
    command = [sys.executable, "-IS", "-c", f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]!r}\n{code}\n{tell}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_an_agent_at_work_has_not_loaded_what_only_others_need() -> None:
    found = loaded_by("import agent.cli, agent.run; agent.cli._parser()")
    assert {"agent.link", "ssl", "sqlite3", "paho.mqtt.client"} <= found
    assert not (HEAVY | {*rarely_used.MODULES}) & found


def test_what_stands_by_for_a_module_becomes_it_when_it_is_used() -> None:
    use = (
        "import agent, hashlib, uuid, urllib.parse, urllib.request\n"
        "from traceback import format_exc\n"
        "assert len(hashlib.sha256().digest()) == 32 and uuid.uuid4().hex\n"
        "assert urllib.parse.urlsplit('mqtts://[::1]:1').hostname == '::1'\n"
        "assert urllib.request.Request('http://a').host == 'a'\n"
        "assert format_exc() == 'NoneType: None\\n'"
    )
    assert {*rarely_used.MODULES} - {"ipaddress"} <= loaded_by(use)
