"""Send the probe to the host through testinfra, and have its answer."""

import base64
import io
import json
import zipfile
from pathlib import Path
from typing import Any, Final

import testinfra

from studio.model import Studio

PROBE: Final = Path(__file__).parent / "probe"
START: Final = "from probe.gather import main\nmain()\n"
# The program lives in memory: nothing is left on the host.
BOOTSTRAP: Final = (
    "import base64,os,sys;h=os.memfd_create('probe',0);os.write(h,base64.b64decode(sys.argv[1]));"
    "os.set_inheritable(h,True);"
    "os.execv(sys.executable,[sys.executable,'-I','/proc/self/fd/%d'%h,sys.argv[2]])"
)
AS_ROOT: Final = 'if [ "$(id -u)" = 0 ]; then exec "$@"; else exec sudo -n -- "$@"; fi'


class NoFacts(Exception):
    """The probe did not answer; the message says what the host said instead."""


def program() -> str:
    """The probe as a zipapp, in base64."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", START)
        for path in sorted(PROBE.glob("*.py")):
            archive.write(path, f"probe/{path.name}")
    return base64.b64encode(packed.getvalue()).decode()


def machine(studio: Studio) -> Any:
    """The studio's host for testinfra."""
    host = studio.host
    if host.is_local:
        return testinfra.get_host("local://")
    login = f"{host.login}@" if host.login else ""
    address = f"[{host.address}]" if ":" in host.address else host.address
    return testinfra.get_host(f"ssh://{login}{address}:{host.port}", ssh_extra_args="-o BatchMode=yes")


def facts(studio: Studio, question: dict[str, Any]) -> dict[str, Any]:
    """The host's answer to a question (see probe/gather.py), in one round trip."""
    words = ["python3", "-I", "-c", BOOTSTRAP, program(), json.dumps(question)]
    done = machine(studio).run("sh -c %s sh" + " %s" * len(words), AS_ROOT, *words)
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise NoFacts(f"{studio.name}: its host did not answer: {said[-1] if said else 'no word'}") from None
