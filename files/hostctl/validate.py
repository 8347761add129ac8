"""A generation is judged by the programs that will read it, before it is used."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hostctl import generation, manifest, podman, store
from hostctl.errors import BAD_INPUT, HostError
from hostctl.manifest import SECRET_PREFIX, Component
from hostctl.paths import Paths
from hostctl.run import Account, Result, need_account, run

GENERATOR = "/usr/lib/systemd/system-generators/podman-system-generator"
SECONDS = 120


def _in_image(folder: Path, component: Component, argv: list[str], who: Account) -> Result:
    """Run a check in the component's own image: no network, the staged files read-only, its secrets as it has them."""
    config = component.facts["config"]
    secrets = [f"--secret={SECRET_PREFIX}{name},target={name},mode=0444" for name in component.secrets]
    words = [a.replace("{gen}", config) for a in argv]
    command = [
        "run", "--rm", "--pull=never", "--network=none", "--read-only", "--cap-drop=all", "--log-driver=none",
        "--security-opt=no-new-privileges", f"--volume={folder / component.name}:{config}:ro", *secrets,
        f"--entrypoint={words[0]}", str(component.image), *words[1:],
    ]  # fmt: skip
    return podman.call(command, who)


def _on_host(folder: Path, argv: list[str]) -> Result:
    return run([a.replace("{gen}", str(folder)) for a in argv], timeout=SECONDS)


def _quadlets(folder: Path, who: Account) -> Result:
    argv = ["env", f"QUADLET_UNIT_DIRS={folder / 'quadlets'}", GENERATOR, "--user", "--dryrun"]
    result = run(argv, who=who, timeout=SECONDS)
    bad = [line for line in result.err.splitlines() if "onverting" in line or "nsupported" in line]
    return Result(result.code or int(bool(bad)), "", "\n".join(bad) or result.err)


def judge(paths: Paths, name: str) -> None:
    """Let every component's own validator judge a generation.

    Raises:
        HostError: all that was said against it, at once; the generation is thrown away, what runs is not touched.
    """
    wanted = manifest.load(paths.generation(name))
    who = need_account(wanted.user)
    folder = paths.generation(name)
    with ThreadPoolExecutor(4) as pool:
        asked = {"quadlets": pool.submit(_quadlets, folder, who)}
        for component in wanted.components:
            for argv in component.validate:
                title = f"{component.name} ({' '.join(argv)})"
                if component.kind == "quadlet":
                    asked[title] = pool.submit(_in_image, folder, component, argv, who)
                else:
                    asked[title] = pool.submit(_on_host, folder, argv)
    refused = {title: answer.result() for title, answer in asked.items() if answer.result().code}
    if refused:
        generation.discard(paths, name)
        said = "".join(f"\n{title}:\n{_indented(result)}" for title, result in refused.items())
        raise HostError(f"the new configuration is refused, what runs stays as it is:{said}", BAD_INPUT)
    store.make_folder(paths.validated)
    store.write(paths.validated / name, b"")


def _indented(result: Result) -> str:
    text = "\n".join(part.strip() for part in (result.out, result.err) if part.strip()) or f"exit code {result.code}"
    return "\n".join(f"    {line}" for line in text.splitlines()[-20:])
