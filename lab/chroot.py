"""Commands over a copy-on-write view of the bare root with this machine's network: for pip."""

import os
import shutil
from pathlib import Path

from lab.run import run

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PIP_CONFIGURATION = Path("/etc/pip.conf")
SCRIPT = """
set -e
root=$1 upper=$2 out=$3; shift 3
mount -t tmpfs tmpfs "$upper" && mkdir "$upper/u" "$upper/w" "$upper/root"
mount -t overlay overlay -o "lowerdir=$root,upperdir=$upper/u,workdir=$upper/w" "$upper/root"
cd "$upper/root" && mkdir -p out
mount --bind "$out" out && mount --rbind /proc proc && mount --rbind /dev dev
rm -f etc/resolv.conf && cat /etc/resolv.conf > etc/resolv.conf
for found; do
    test -e "$found" || continue
    mkdir -p "$(dirname ".$found")"
    if test -d "$found"; then mkdir -p ".$found" && mount --bind "$found" ".$found"; else cat "$found" > ".$found"; fi
done
exec chroot . sh -euc "$COMMANDS"
"""


def in_chroot(base: Path, out: Path, commands: str) -> None:
    """Run shell `commands` as root over `base`, which stays as it is; what they write to `/out` is in `out`.

    This machine's pip settings and certificates are there too, so that a mirror or proxy named by them works inside.
    """
    out.mkdir(parents=True, exist_ok=True)
    upper = out.with_name(f"{out.name}-upper")
    upper.mkdir(exist_ok=True)
    settings = {
        key: value for key, value in os.environ.items() if key.startswith("PIP_") or key.lower().endswith("_proxy")
    }
    settings |= {"PIP_CERT": str(CERTIFICATES)} if CERTIFICATES.exists() else {}
    links = [word for word in settings.get("PIP_FIND_LINKS", "").split() if word.startswith("/")]
    carried = [str(CERTIFICATES), str(PIP_CONFIGURATION), *links]
    try:
        environment = {"COMMANDS": commands, "PIP_ROOT_USER_ACTION": "ignore", "HOME": "/root", **settings}
        environment["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        run(["unshare", "--mount", "sh", "-c", SCRIPT, "lab", base, upper, out, *carried], env=environment)
    finally:
        shutil.rmtree(upper)
