"""A lab host with a copy of the repository of its own, so that a test may change an inventory or break a template."""

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from lab import guest
from lab.can_boot import why_not
from lab.host import LabHost, Result
from lab.studio_host import USER_SECRETS

REPOSITORY = "/srv/repository"
HOSTCTL = "/var/lib/sensor-pipeline/current/bin/hostctl"
INVENTORY = f"{REPOSITORY}/inventories/lab.yaml"


def need_lab() -> None:
    """Skip where no host can be booted, unless REQUIRE_LAB says that this is a failure."""
    if reason := why_not():
        if os.environ.get("REQUIRE_LAB") == "1":
            pytest.fail(f"the lab is required, but {reason}")
        pytest.skip(reason)


@dataclass(frozen=True)
class Deployed:
    """What a run of pyinfra said and did."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)["results"]
        return found

    @property
    def changed(self) -> list[str]:
        """The operations that changed something."""
        return [o["name"] for o in self.results["operations"] if o["success"]]


@dataclass
class StudioHost:
    """A studio on a lab host, deployed from the copy of the repository there."""

    host: LabHost
    secrets: dict[str, str] = field(default_factory=lambda: dict(USER_SECRETS))
    killed_last: str = ""
    """The end of what the last killed deploy said."""

    def restore(self) -> None:
        """The repository as it is here, whatever an earlier test did to the copy."""
        not_product = "-path ./lab -o -path ./tests -o -path ./docs -o -path ./bench -o -name __pycache__"
        copy = f"find . ( {not_product} ) -prune -o -type f -print0".replace("(", "\\(").replace(")", "\\)")
        cpio = f"tar --null -T - -c | tar -x -C {REPOSITORY} --no-same-owner"
        self.host.exec(f"rm -rf {REPOSITORY} && mkdir {REPOSITORY} && cd /opt/sensor-pipeline && {copy} | {cpio}")

    def environment(self, **more: str) -> dict[str, str]:
        common = {"STUDIO": "lab", "PYTHONPATH": REPOSITORY, "PYTHONDONTWRITEBYTECODE": "1"}
        return {**common, **self.secrets, **more}

    def argv(self, *options: str, user: str = "root", **environment: str) -> list[str]:
        words = ["/opt/venv/bin/pyinfra", "@local", "deploy.py", "-y", *options]
        settings = self.environment(**environment)
        if user != "root":
            names = ",".join(settings)
            words = ["runuser", "-u", user, "--whitelist-environment", names, "--", *words]
            settings["HOME"] = f"/home/{user}"
        return guest.enter(self.host.name, words, settings, cwd=f"{REPOSITORY}/pyinfra")

    def deploy(self, *options: str, user: str = "root", **environment: str) -> Deployed:
        began = time.monotonic()
        argv = self.argv("--json", *options, user=user, **environment)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=400, stdin=subprocess.DEVNULL)
        return Deployed(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    def must_deploy(self, *options: str, **environment: str) -> Deployed:
        done = self.deploy(*options, **environment)
        assert done.code == 0, done.err[-4000:]
        return done

    def killed_deploy(self, operation: str, after: float, *, whom: str = "all") -> bool:
        """Start a deploy and kill it by SIGKILL, `after` seconds into an operation; False when it ended before.

        whom: `all` of its processes (those it started on the host too), or the `main` one alone.
        """
        unit = f"test-deploy-{time.monotonic_ns()}"
        settings = [word for key, value in self.environment().items() for word in ("-E", f"{key}={value}")]
        path = "PATH=/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        run = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={unit}", *settings, "-E", path]
        folder = f"--working-directory={REPOSITORY}/pyinfra"
        words = [*run, folder, "/opt/venv/bin/pyinfra", "@local", "deploy.py", "-y"]
        argv = guest.enter(self.host.name, words)
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            sent = False
            for line in process.stderr:
                if f"Starting operation: {operation}" in line:
                    time.sleep(after)
                    kill = ["systemctl", "kill", "-s", "KILL", f"--kill-whom={whom}", unit]
                    sent = self.host.exec(kill, check=False).returncode == 0
                    break
            self.killed_last = process.stderr.read()[-2000:]
            return process.wait(60) != 0 and sent

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.host.exec([HOSTCTL, "status", "--json"]).stdout)
        return found

    def hostctl(self, *arguments: str, check: bool = True, stdin: str | None = None) -> Result:
        return self.host.exec([HOSTCTL, *arguments], check=check, stdin=stdin)

    def pids(self) -> dict[str, int]:
        return {c["name"]: c["pid"] for c in self.status()["components"]}

    def settled(self, seconds: float = 30) -> dict[str, Any]:
        """The status, once everything is healthy, up to date, and nothing is pending.

        On a busy machine a health check may come too late, and podman kills what it finds unhealthy: hence `seconds`.
        """
        until = time.monotonic() + seconds
        while True:
            told = self.status()
            wrong = [c for c in told["components"] if (c["state"], c["health"]) != ("active", "healthy")]
            if not (told["out_of_date"] or told["pending"] or wrong):
                return told
            if time.monotonic() > until:
                pytest.fail(f"not settled: {told['out_of_date']}, pending {told['pending']}, {wrong}")
            time.sleep(1)

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file of the copy; `old` must be there."""
        path = f"{REPOSITORY}/{file}"
        text = self.host.read(path)
        assert old in text, f"{file} has no {old!r} any more: this test must be changed"
        self.host.write(path, text.replace(old, new))

    def canary(self) -> None:
        """Return when a canary sent from now on has come through broker, Vector and VictoriaMetrics."""
        began = time.monotonic()
        while time.monotonic() - began < 60:
            done = self.hostctl("check", "canary", check=False)
            age = re.search(r"newest canary is (\d+) s old", done.stdout)
            if age and int(age[1]) < time.monotonic() - began - 1:
                return
            time.sleep(0.5)
        pytest.fail(f"the canary does not arrive: {done.stdout}{done.stderr}")

    def untouched(self) -> dict[str, str]:
        """What a deploy would change first, to compare before and after."""
        folders = "/var/lib/sensor-pipeline /etc/systemd/system /etc/containers"
        folder = f"find {folders} -printf '%p %T@ %s\\n' 2>/dev/null | sort"
        packages = "dpkg-query -W | sha256sum; cat /etc/passwd /etc/subuid"
        return {line: self.host.exec(line, check=False).stdout for line in (folder, packages)}


def restarted(before: dict[str, int], after: dict[str, int]) -> set[str]:
    """The components whose process is another one."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
