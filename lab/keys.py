"""The lab's own SSH key: made once, good only for lab hosts."""

from pathlib import Path

from lab.paths import lab_dir
from lab.run import locked, run


def private_key() -> Path:
    """The key's file, made when it is not there."""
    path = lab_dir() / "keys" / "id_ed25519"
    with locked(lab_dir() / "keys" / ".lock"):
        if not path.with_suffix(".pub").exists():
            path.unlink(missing_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", path])
    return path


def public_key() -> str:
    """The line for `authorized_keys`."""
    return private_key().with_suffix(".pub").read_text()


def ssh_argv(user: str, port: int) -> list[str]:
    """ssh to a lab host by its outer port. Host keys are the same on all of them and not worth remembering."""
    return [
        "ssh", "-i", str(private_key()), "-p", str(port),
        "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
        "-o", "LogLevel=ERROR", "-o", "IdentitiesOnly=yes", f"{user}@127.0.0.1",
    ]  # fmt: skip
