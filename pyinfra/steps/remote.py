"""How hostctl is run on the host, as root: sent along while the host has none, else the generation's own."""

import base64
import shlex
import zlib
from typing import Any, Final

from pyinfra.api import StringCommand
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput

GENERATIONS: Final = "/var/lib/sensor-pipeline/generations"

# The program and its input come through standard input: neither is in an argument list nor left on the host.
BOOTSTRAP: Final = """
import base64, io, os, sys, zlib
program, question = (zlib.decompress(base64.b64decode(line)) for line in sys.stdin.buffer.read().split())
handle = os.memfd_create("hostctl")
with open(handle, "wb", closefd=False) as file:
    file.write(program)
sys.path.insert(0, "/proc/self/fd/%d" % handle)
sys.stdin = io.StringIO(question.decode())
from hostctl.cli import program
program()
"""


class Shown(StringCommand):
    """A command whose lines are shown while it runs; hostctl never writes a secret."""

    def execute(self, state: State, host: Host, connector_arguments: Any) -> tuple[bool, CommandOutput]:
        arguments = {**connector_arguments, **self.connector_arguments}
        done, _ = host.run_shell_command(self, print_output=True, print_input=state.print_input, **arguments)
        # pyinfra shows the output of what failed, which was shown already.
        return done, CommandOutput([])


def as_root(argv: list[str]) -> str:
    """A shell line that runs a program as root, by sudo when the log-in is not root's."""
    words = shlex.join(argv)
    return f'if [ "$(id -u)" = 0 ]; then exec {words}; else exec sudo -n {words}; fi'


def sent_along(*arguments: str) -> str:
    """The shell line that runs the hostctl in its standard input (see `parcel`)."""
    return as_root(["/usr/bin/python3", "-I", "-S", "-c", BOOTSTRAP, *arguments])


def parcel(program: bytes, question: bytes) -> str:
    """Standard input for `sent_along`: the zipapp and its own standard input."""
    return "\n".join(base64.b64encode(zlib.compress(part)).decode() for part in (program, question))


def of_generation(generation: str, *arguments: str) -> str:
    """The shell line that runs the hostctl of a generation on the host."""
    return as_root([f"{GENERATIONS}/{generation}/bin/hostctl", *arguments])
