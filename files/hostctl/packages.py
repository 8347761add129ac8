"""Debian packages: only the missing ones, without starting a service before its configuration is there."""

import os

from hostctl import store, system
from hostctl.errors import HostError
from hostctl.extension import fetch
from hostctl.manifest import Manifest
from hostctl.paths import Paths
from hostctl.run import Result, finish, run, start

APT = ["apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confold"]


def hold(paths: Paths, manifest: Manifest) -> None:
    """Let no package's service start with the package's own configuration: it might listen on every address.

    A condition in /run: void as soon as a generation is in use, gone with the next boot.
    """
    for component in manifest.host_services:
        folder = paths.root / "run/systemd/system" / f"{component.unit}.d"
        condition = f"[Unit]\nConditionPathExists={paths.current}\n"
        store.write(folder / "sensor-pipeline-hold.conf", condition.encode())
    run(["systemctl", "daemon-reload"], timeout=60)


def _apt(*words: str) -> Result:
    return finish(start([*APT, *words]), timeout=1800)


def add_sources(paths: Paths, manifest: Manifest) -> None:
    """Let apt know the repositories of packages that Debian has not got; a key is fetched once, over HTTPS."""
    for source in manifest.facts.get("apt_sources", []):
        name = source["name"]
        key = paths.root / "etc/apt/keyrings" / f"{name}.asc"
        if not key.is_file():
            store.write(key, fetch(source["key_url"]))
        text = (
            f"Types: deb\nURIs: {source['uri']}\nSuites: {source['suite']}\nComponents: {source['components']}\n"
            f"Signed-By: /etc/apt/keyrings/{name}.asc\n"
        )
        store.write(paths.root / "etc/apt/sources.list.d" / f"{name}.sources", text.encode())


def install(paths: Paths, manifest: Manifest) -> list[str]:
    """Install what is missing; returns the names."""
    wanted = manifest.facts["packages"]
    missing = [name for name in wanted if name not in system.packages(wanted)]
    if not missing:
        return []
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    hold(paths, manifest)
    # An apt that was killed leaves packages unpacked but not configured, and then refuses to go on.
    finish(start(["dpkg", "--configure", "--pending"]), timeout=900)
    add_sources(paths, manifest)
    update = _apt("update")
    result = _apt("install", "--no-install-recommends", "--", *missing)
    if result.code:
        lines = [line for line in (update.err + result.err + result.out).splitlines() if line.startswith(("E:", "W:"))]
        raise HostError(
            f"could not install {', '.join(missing)}:\n  " + "\n  ".join(lines or result.text.splitlines()[-5:])
        )
    return missing
