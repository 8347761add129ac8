"""devicectl as a device runs it: a zipapp sent by standard input, kept in memory, run as root."""

import base64
import shlex
import zlib
from functools import cache
from pathlib import Path
from typing import Final

from studio.paths import FILES
from studio.render.hostctl import archive

HOSTCTL: Final = ("__init__", "errors", "run", "store")
"""What devicectl uses of hostctl."""
BOOTSTRAP: Final = """
import base64, io, os, sys, zlib
if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed there, it has %d.%d: install Debian 12 or newer" % sys.version_info[:2])
program, text = (zlib.decompress(base64.b64decode(line)) for line in sys.stdin.buffer.read().split())
handle = os.memfd_create("devicectl")
os.write(handle, program)
sys.path.insert(0, "/proc/self/fd/%d" % handle)
sys.stdin = io.StringIO(text.decode())
from devicectl.cli import main
sys.exit(main(sys.argv[1:]))
"""
WRAP: Final = """
command -v systemctl >/dev/null || { echo "there is no systemd: the agent is run by it" >&2; exit 1; }
[ -x /usr/bin/python3 ] || { echo "there is no /usr/bin/python3: sudo apt-get install python3" >&2; exit 1; }
echo "${SSH_CONNECTION%% *}"
[ "$(id -u)" = 0 ] && exec /usr/bin/python3 "$@"
command -v sudo >/dev/null || { echo "there is no sudo, and $(id -un) is not root: log in as root" >&2; exit 1; }
sudo -n true </dev/null 2>/dev/null || {
  echo "$(id -un) may not use sudo without a password: allow it in /etc/sudoers.d, or log in as root" >&2; exit 1; }
exec sudo -n -- /usr/bin/python3 "$@"
"""
"""Says first from where the log-in came, then what devicectl says; each of its errors is one line."""


def line(*arguments: str) -> str:
    """The shell line that runs the devicectl in its standard input (see `parcel`)."""
    return shlex.join(["sh", "-c", WRAP, "sh", "-I", "-S", "-c", BOOTSTRAP, *arguments])


def parcel(text: str = "{}") -> str:
    """Standard input for `line`: the program, and what it reads itself."""
    return "\n".join(base64.b64encode(zlib.compress(part)).decode() for part in (_zipapp(), text.encode()))


@cache
def _zipapp() -> bytes:
    used = [FILES / "hostctl" / f"{name}.py" for name in HOSTCTL]
    paths: list[Path] = [*sorted((FILES / "devicectl").glob("*.py")), *used]
    return archive([(path.relative_to(FILES).as_posix(), path.read_bytes()) for path in paths])
