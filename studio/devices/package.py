"""What is put on a device: the agent, paho-mqtt, the unit, and the certificate of the studio's authority."""

import base64
import hashlib
import re
from functools import cache
from importlib.metadata import PackagePath, distribution

from studio.bundle import Artifact, Artifacts, Bundle
from studio.host import Failed
from studio.paths import ROOT

AGENT = ROOT / "agent"
LIBRARY = "paho-mqtt"
AUTHORITY = "/opt/studio-agent/current/ca.crt"


def package(authority: bytes) -> Bundle:
    """Everything that a version of the agent is; its generation is the version's name."""
    return Bundle({**_program(), "ca.crt": Artifact(authority)})


@cache
def _program() -> Artifacts:
    sources = {f"lib/agent/{path.name}": Artifact(path.read_bytes()) for path in sorted(AGENT.glob("*.py"))}
    systemd = AGENT / "systemd"
    return {
        **sources,
        **_library(),
        "bin/studio-agent": Artifact((systemd / "studio-agent").read_bytes(), 0o755),
        "studio-agent.service": Artifact((systemd / "studio-agent.service").read_bytes()),
        "studio-agent.sysusers": Artifact((systemd / "studio-agent.sysusers").read_bytes()),
    }


def _library() -> Artifacts:
    """paho-mqtt as requirements.lock pins it and pip installed it here; Failed when it is not that."""
    found = distribution(LIBRARY)
    if f"{LIBRARY}=={found.version} " not in (ROOT / "requirements.lock").read_text():
        raise Failed(f"{LIBRARY} {found.version} is installed here, requirements.lock has another: run `make setup`")
    files = [path for path in found.files or () if path.suffix == ".py"]
    return {f"lib/{path.as_posix()}": Artifact(_checked(path)) for path in sorted(files)}


def _checked(path: PackagePath) -> bytes:
    content = path.read_binary()
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    if path.hash is None or not re.fullmatch(r"sha256", path.hash.mode) or path.hash.value != digest:
        raise Failed(f"{path.locate()} is not as pip installed it: run `make setup` in a fresh .venv")
    return content
