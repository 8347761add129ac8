"""The studio's own certificate authority and the broker's certificate, made and renewed on the host by openssl."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, Final

from hostctl import podman, store
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Account, must, run

CA_DAYS: Final = 7300
DAYS: Final = 825
RENEW_BELOW_DAYS: Final = 30
KEYSTORE_PASSWORD: Final = "tls-keystore-password"  # noqa: S105 - a secret's name


ADDRESSES: Final = ["ip", "-json", "address", "show", "scope", "global", "up"]


def names(wanted: Manifest, addresses: list[str]) -> list[str]:
    """What the certificate is for: DNS names, and addresses, since small devices often know the host by its address."""
    told = wanted.facts.get("tls") or {}
    host = os.uname().nodename
    listed = [told.get("cn"), *told.get("san", []), host, f"{host}.local", *addresses, "localhost", "127.0.0.1"]
    return list(dict.fromkeys(str(n) for n in listed if n))


def addresses_in(answer: str) -> list[str]:
    """The host's own lasting global addresses, in order; none when `ip` could not tell."""
    try:
        every = [a for link in json.loads(answer or "[]") for a in link.get("addr_info", [])]
    except ValueError:
        return []
    return sorted(str(a["local"]) for a in every if not a.get("temporary") and "local" in a)


def _secrets(wanted: Manifest) -> list[str]:
    return [s["name"] for s in wanted.secrets if s["origin"] == "tls"]


def facts(paths: Paths, wanted: Manifest, ids: dict[str, str], addresses: list[str]) -> dict[str, Any]:
    """Why a (new) certificate is needed, or no reason at all: {"needed": text or None, "not_after": epoch s}."""
    record = store.read_json(paths.state / "tls" / "record.json") or {}
    left = (record.get("not_after", 0) - time.time()) / 86400
    reason = None
    if not _secrets(wanted):
        reason = None
    elif not record or store.sha256(paths.state / "tls" / "ca.crt") != record.get("ca_sha256"):
        reason = "there is no certificate yet"
    elif any(name not in ids or record["secrets"].get(name) != ids[name] for name in _inputs(wanted)):
        reason = "its secrets are not those of the last certificate"
    elif record.get("names") != names(wanted, addresses):
        reason = f"it has to be for {', '.join(names(wanted, addresses))}"
    elif left < RENEW_BELOW_DAYS:
        reason = f"it ends in {max(left, 0):.0f} days"
    return {"needed": reason, "not_after": record.get("not_after")}


def _inputs(wanted: Manifest) -> list[str]:
    every = {s["name"] for s in wanted.secrets}
    return sorted({*_secrets(wanted), *({KEYSTORE_PASSWORD} & every)})


def ensure(paths: Paths, wanted: Manifest, who: Account) -> str | None:
    """Make or renew the certificate when it has to be; returns why, or None when it was not.

    Killed half-way, the record does not match the secrets and the next run begins anew; the authority stays.
    """
    import shutil
    import tempfile

    addresses = addresses_in(run(ADDRESSES).out)
    reason = facts(paths, wanted, podman.secrets(who), addresses)["needed"]
    if reason is None:
        return None
    ca = _authority(paths, wanted)
    store.make_folder(paths.secrets / "tls", 0o700)
    work = Path(tempfile.mkdtemp(prefix=".work-", dir=paths.secrets / "tls"))
    try:
        _certificate(work, ca, names(wanted, addresses))
        values = {
            "tls-cert": (work / "server.crt").read_bytes() + (ca / "ca.crt").read_bytes(),
            "tls-key": (work / "server.key").read_bytes(),
        }
        if "tls-keystore" in _secrets(wanted):
            values["tls-keystore"] = _keystore(work, ca, who)
        for name in _secrets(wanted):
            podman.put_secret(name, values[name], who)
        not_after = _not_after(work / "server.crt")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    public = (ca / "ca.crt").read_bytes()
    store.make_folder(paths.state / "tls")
    store.write(paths.state / "tls" / "ca.crt", public)
    ids = podman.secrets(who)
    record = {
        "names": names(wanted, addresses),
        "not_after": not_after,
        "ca_sha256": hashlib.sha256(public).hexdigest(),
        "secrets": {name: ids.get(name) for name in _inputs(wanted)},
    }
    store.write_json(paths.state / "tls" / "record.json", record)
    return str(reason)


def _openssl(*argv: str, stdin: bytes | None = None) -> bytes:
    return must(["openssl", *argv], "could not make the TLS certificate", stdin=stdin).out.encode()


def _new_key(path: Path) -> None:
    store.write(path, _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), 0o600)


def _authority(paths: Paths, wanted: Manifest) -> Path:
    """The folder of the authority's key and certificate, made once and whole (or not at all)."""
    import shutil
    import tempfile

    folder = paths.secrets / "tls" / "ca"
    if (folder / "ca.crt").is_file():
        return folder
    store.make_folder(folder.parent, 0o700)
    for leftover in folder.parent.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=".ca-", dir=folder.parent))
    _new_key(work / "ca.key")
    subject = f"/O=sensor-pipeline/CN={wanted.studio} authority"
    common = ["-x509", "-new", "-key", str(work / "ca.key"), "-sha256", "-days", str(CA_DAYS), "-subj", subject]
    extensions = ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,keyCertSign,cRLSign"]
    added = [word for extension in extensions for word in ("-addext", extension)]
    store.write(work / "ca.crt", _openssl("req", *common, *added))
    os.sync()
    work.rename(folder)
    store.sync_folder(folder.parent)
    return folder


def _certificate(work: Path, ca: Path, names: list[str]) -> None:
    _new_key(work / "server.key")
    subject = f"/O=sensor-pipeline/CN={names[0][:64]}"
    request = _openssl("req", "-new", "-key", str(work / "server.key"), "-subj", subject)
    alternative = ",".join(f"{'IP' if _is_address(n) else 'DNS'}:{n}" for n in names)
    (work / "extensions").write_text(
        f"basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
        f"extendedKeyUsage=serverAuth\nsubjectAltName={alternative}\n"
    )
    signed = _openssl(
        "x509", "-req", "-CA", str(ca / "ca.crt"), "-CAkey", str(ca / "ca.key"), "-sha256", "-days", str(DAYS),
        "-set_serial", f"0x{os.urandom(16).hex()}", "-extfile", str(work / "extensions"), stdin=request,
    )  # fmt: skip
    store.write(work / "server.crt", signed)


def _keystore(work: Path, ca: Path, who: Account) -> bytes:
    """The key and both certificates as PKCS12; its password comes through a pipe."""
    password = podman.get_secrets([KEYSTORE_PASSWORD], who)[KEYSTORE_PASSWORD]
    out = work / "keystore.p12"
    _openssl(
        "pkcs12", "-export", "-inkey", str(work / "server.key"), "-in", str(work / "server.crt"), "-certfile",
        str(ca / "ca.crt"), "-name", "broker", "-out", str(out), "-passout", "stdin", stdin=password + b"\n",
    )  # fmt: skip
    return out.read_bytes()


def _not_after(certificate: Path) -> int:
    import ssl

    text = _openssl("x509", "-noout", "-enddate", "-in", str(certificate)).decode()
    return int(ssl.cert_time_to_seconds(text.strip().removeprefix("notAfter=")))


def _is_address(name: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
