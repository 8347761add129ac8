"""devicectl facts VERSION | mark | apply | settle | remove [--keep-data], as root; `apply` reads from stdin."""

import json
import os
import sys
from collections.abc import Sequence

from devicectl import change, facts
from devicectl.paths import Paths
from hostctl.errors import BAD_INPUT, HostError


def main(arguments: Sequence[str]) -> int:
    """Facts as JSON or a line that says what was done on standard output; a failure on standard error."""
    paths = Paths()
    try:
        if os.geteuid() != 0:
            raise HostError("this needs root")
        match list(arguments):
            case ["facts", wanted]:
                print(json.dumps(facts.facts(paths, wanted)))
            case ["apply"]:
                print(change.apply(paths, json.load(sys.stdin)))
            case ["mark"]:
                print(change.mark(paths))
            case ["settle"]:
                print(change.settle(paths))
            case ["remove", *options]:
                print(change.remove(paths, keep_data="--keep-data" in options))
            case _:
                raise HostError(str(__doc__), BAD_INPUT)
    except HostError as error:
        print(error, file=sys.stderr)
        return error.code
    except OSError as error:
        print(f"{error.filename or 'the device'}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0
