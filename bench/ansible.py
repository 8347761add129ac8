"""The peer: ansible-core doing to the same host what a deploy does, written in the way that is kindest to it.

Pipelining is on, facts are not gathered, a folder is one `copy` task, and the services are asked for in one loop.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from studio.bundle import Bundle

REQUIREMENTS: Final = Path(__file__).with_name("requirements-ansible.txt")
CONFIG: Final = """[defaults]
gathering = explicit
interpreter_python = /usr/bin/python3
localhost_warning = False
deprecation_warnings = False
[connection]
pipelining = True
"""


def install(target: Path) -> None:
    """Put ansible-core, pinned, into a folder that the guest's Python 3.13 can use."""
    packages = ["--requirement", str(REQUIREMENTS), "--target", str(target)]
    abi = ["--python-version", "3.13", "--only-binary", ":all:", "--no-deps"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", *packages, *abi], check=True, env=dict(os.environ)
    )


def playbook(bundle: Bundle, home: str) -> str:
    """The playbook as YAML: packages, account, files a folder, services started, and restarted when theirs changed.

    Args:
        bundle: what is deployed.
        home: the guest's folder; `{{ source }}` there is copied to `deployed/`.
    """
    manifest = bundle.manifest
    user = str(manifest["user"])
    components: list[dict[str, Any]] = manifest["components"]
    quadlets = [c for c in components if c["kind"] == "quadlet"]
    folders = sorted({path.split("/")[0] for path in bundle.files if "/" in path and not path.startswith("bin/")})
    as_user = {"become": True, "become_user": user, "environment": {"XDG_RUNTIME_DIR": "/run/user/{{ account.uid }}"}}
    restart = {"state": "restarted", "scope": "user"}
    linger = {"creates": f"/var/lib/systemd/linger/{user}"}
    tasks: list[dict[str, Any]] = [
        # cheaper than the apt module, which needs python3-apt on the host
        {"name": "packages", "command": " ".join(["dpkg-query -W", *manifest["packages"]]), "changed_when": False},
        {"name": "account", "user": {"name": user, "state": "present"}, "register": "account"},
        {"name": "linger", "command": f"loginctl enable-linger {user}", "args": linger},
        *(
            {
                "name": f"files of {folder}",
                "copy": {
                    "src": f"{{{{ source }}}}/{folder}/",
                    "dest": f"{home}/deployed/{folder}/",
                    "mode": "preserve",
                },
                "notify": [f"restart {c['name']}" for c in quadlets if c["name"] == folder],
            }
            for folder in folders
        ),
        {
            "name": "services",
            "systemd_service": {"name": "{{ item }}", "state": "started", "scope": "user"},
            "loop": [c["unit"] for c in quadlets],
            **as_user,
        },
        {
            "name": "host services",
            "systemd_service": {"name": "{{ item }}", "state": "started", "enabled": True},
            "loop": [c["unit"] for c in components if c["kind"] == "host"],
        },
    ]
    handlers = [
        {"name": f"restart {c['name']}", "systemd_service": {"name": c["unit"], **restart}, **as_user} for c in quadlets
    ]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks, "handlers": handlers}
    return yaml.safe_dump([play], sort_keys=False)
