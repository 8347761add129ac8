"""`python -m lab`: build, boot, enter and throw away lab hosts."""

import argparse
import json
import os
import subprocess
import sys

from lab import build, guest, state
from lab.host import LabHost, all_hosts
from lab.run import LabError, say

EXIT_CODES = "Exit codes: 0 fine (down also of a host that is not there), 1 failed, 2 bad input."


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m lab", description="Throwaway Debian 13 hosts to deploy a studio to.", epilog=EXIT_CODES
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, text: str, *, host: bool = True) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        if host:
            command.add_argument("name", help="the host's name, e.g. studio")
        return command

    add("build", "Build what hosts are made of; what is already built is not built again.", host=False)
    up = add("up", "Make and boot a host; nothing happens when it is up.")
    up.add_argument("--fresh", action="store_true", help="throw away what is there first")
    up.add_argument("--inventory", default="lab", help="the studio that STUDIO names in the guest (default: lab)")
    up.add_argument("--from", dest="snapshot", metavar="SNAPSHOT", help="begin with a copy of this snapshot")
    run = add("exec", "Run a command as root in a host; its exit code is passed on.")
    run.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD", help="the command and its arguments")
    add("shell", "A root shell in a host.")
    add("reboot", "Reboot a host and wait until it is up again.")
    snapshot = add("snapshot", "Shut a host down, keep a copy of its disk, start it again.")
    snapshot.add_argument("to", metavar="AS", help="the snapshot's name")
    listing = add("list", "All hosts, their addresses and ports.", host=False)
    listing.add_argument("--json", action="store_true", help="for programs")
    add("demo", "The main job, whole: a host with a deployed, verified, fed studio (demo --help).", host=False)
    down = commands.add_parser(
        "down", help="Remove a host and every trace of it.", description="Remove a host and every trace of it."
    )
    down.add_argument("name", nargs="?", help="the host's name")
    down.add_argument("--all", action="store_true", help="all hosts of this lab")
    return top


def describe(host: LabHost) -> dict[str, object]:
    """What `list --json` says of a host."""
    known = state.load(host.name)
    if known is None:
        return {"name": host.name, "running": False, "half_made": True}
    facts: dict[str, object] = {"name": host.name, "running": host.running(), "address": known.address}
    return {**facts, "inventory": known.inventory, "snapshot": known.snapshot, "ports": known.ports}


def show_list(*, as_json: bool) -> None:
    facts = [describe(host) for host in all_hosts()]
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for fact in facts:
        ports = fact.get("ports")
        shown = (
            "  ".join(f"{inside}->{outside}" for inside, outside in ports.items()) if isinstance(ports, dict) else ""
        )
        print(f"{fact['name']:<20} {'up' if fact['running'] else 'stopped':<8} {fact.get('address', '-'):<12} {shown}")


def enter(name: str, argv: list[str]) -> int:
    """Run a command in a host with this terminal's input and output."""
    environment = {"TERM": os.environ.get("TERM", "dumb"), "STUDIO": LabHost(name).info.inventory}
    return subprocess.run(guest.enter(name, argv, environment), check=False).returncode


def act(args: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code."""
    match args.command:
        case "build":
            build.build_all()
        case "up":
            host = LabHost(args.name).up(fresh=args.fresh, inventory=args.inventory, snapshot=args.snapshot)
            ports = ", ".join(f"{inside} at 127.0.0.1:{outside}" for inside, outside in host.info.ports.items())
            say(f"{args.name} is up: {host.address} on the lab's network; its ports here: {ports}")
        case "exec":
            words = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
            if not words:
                raise LabError(f"say what to run: python -m lab exec {args.name} -- COMMAND")
            return enter(args.name, words)
        case "shell":
            return enter(args.name, ["script", "-qec", "bash -l", "/dev/null"])
        case "reboot":
            LabHost(args.name).reboot()
        case "snapshot":
            LabHost(args.name).snapshot(args.to)
        case "list":
            show_list(as_json=args.json)
        case "down":
            if not args.all and not args.name:
                raise LabError("say which host, or --all")
            for host in all_hosts() if args.all else [LabHost(args.name)]:
                host.down()
    return 0


def main() -> int:
    if sys.argv[1:2] == ["demo"]:
        from lab import demo

        return demo.main(sys.argv[2:])
    args = parser().parse_args()
    try:
        return act(args)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
