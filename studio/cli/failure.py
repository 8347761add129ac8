"""Expected errors as what the command line says of them."""

from studio.cli.outcome import Exit, Stop
from studio.host import Failed, Unreachable
from studio.model import InventoryError
from studio.secrets import SecretsError


def of(error: Exception) -> Stop | None:
    """The exit code and message for an error that people may cause; None for one of the program's own."""
    if isinstance(error, InventoryError):
        return Stop(Exit.BAD_INPUT, inventory_message(error))
    if isinstance(error, SecretsError):
        return Stop(Exit.BAD_INPUT, str(error))
    if isinstance(error, Unreachable):
        return Stop(Exit.UNREACHABLE, str(error))
    if isinstance(error, Failed):
        return Stop(Exit.BAD_INPUT if error.code == Exit.BAD_INPUT else Exit.FAILED, str(error))
    return None


def inventory_message(error: InventoryError) -> str:
    """Every problem of an inventory, a line each, after a line that counts them."""
    count = len(error.problems)
    return f"{count} problem{'s' * (count != 1)} in {error.file}, nothing was done:\n{error}"
