"""What an agent at rest has in memory, and what only stands by for a module."""

import subprocess
import sys
from pathlib import Path

from agent import config, mqtt, rarely_used

ROOT = Path(config.__file__).parents[1]
HEAVY = {
    *("dataclasses", "inspect", "shutil", "random", "secrets", "http", "argparse", "subprocess"),
    *("agent.provision", "agent.registration"),
}


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after some code; none that only stands by for one."""
    tell = "import sys; print(*(n for n, m in sys.modules.items() if getattr(m, '__spec__', None)))"
    command = [sys.executable, "-IS", "-c", f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]!r}\n{code}\n{tell}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_an_agent_at_work_has_not_loaded_what_only_others_need() -> None:
    found = loaded_by("import agent.cli, agent.run, agent.arguments; agent.arguments.parse(['run'])")
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


def test_to_connect_by_name_or_address_loads_no_tables_of_other_scripts() -> None:
    code = (
        "from agent import errors, mqtt\n"
        "import ssl\n"
        "for host in ('127.0.0.1', 'localhost'):\n"
        "    try: mqtt.new_client(mqtt.Endpoint(host, 1, False), mqtt.Login('a'), keepalive=10).reconnect()\n"
        "    except ConnectionRefusedError: print('tried')\n"
        "    ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=host.encode())"
    )
    found = loaded_by(code)
    assert "tried" in found
    assert not {"encodings.idna", "stringprep"} & found


def test_a_name_in_another_script_is_asked_for_as_name_servers_know_it() -> None:
    client = mqtt.new_client(mqtt.Endpoint("b\u00fccher.local", 1, False), mqtt.Login("a"), keepalive=10)
    assert (client.host, client.port) == (b"xn--bcher-kva.local", 1)
