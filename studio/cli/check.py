"""studio check: every error of the inventories."""

import json
import sys
from dataclasses import asdict

from studio.cli.failure import inventory_message
from studio.cli.outcome import Exit, Stop
from studio.model import InventoryError, load_studio
from studio.model.loader import names as all_names
from studio.model.loader import only


def schema() -> None:
    """Print the JSON Schema of inventories."""
    from studio.model.schema import schema_text

    sys.stdout.write(schema_text())


def check(names: list[str], *, as_json: bool) -> None:
    """Check the named studios, or all."""
    wanted = names or all_names() or [only()]
    told = []
    for name in wanted:
        try:
            studio = load_studio(name)
        except InventoryError as error:
            told.append(
                {"studio": name, "file": error.file, "problems": [asdict(p) for p in error.problems], "warnings": []}
            )
            if not as_json:
                print(f"studio: {inventory_message(error)}", file=sys.stderr)
            continue
        warnings = studio.alerts.warnings()
        told.append({"studio": studio.name, "problems": [], "warnings": warnings})
        if not as_json:
            devices = len(studio.devices)
            print(
                f"{studio.name}: fine (furnaces: {len(studio.furnaces)}, devices: {devices}, broker: {studio.broker})"
            )
            for warning in warnings:
                print(f"{studio.name}: warning: {warning}")
    if as_json:
        print(json.dumps(told, indent=2))
    if any(entry["problems"] for entry in told):
        raise Stop(Exit.BAD_INPUT)
