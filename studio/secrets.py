"""The user's own secrets, as a deploy takes them: from the environment, or from a file encrypted with age.

`STUDIO_SECRET_<NAME>` (in capitals, `_` for `-`) gives one value. `inventories/<studio>.secrets.age` beside the
inventory holds a YAML mapping of names to values, encrypted for the identity in the file that `STUDIO_AGE_IDENTITY`
names. The environment wins.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from studio.paths import INVENTORIES

PREFIX = "STUDIO_SECRET_"
IDENTITY = "STUDIO_AGE_IDENTITY"


class SecretsError(Exception):
    """The secrets file cannot be used; the message says why and what to do, never a value."""


def variable(name: str) -> str:
    """The environment variable that gives a secret."""
    return PREFIX + name.upper().replace("-", "_")


def given(
    studio: str, names: Iterable[str], environment: Mapping[str, str] = os.environ, folder: Path = INVENTORIES
) -> dict[str, str]:
    """The values at hand of the named secrets; those given nowhere are left out.

    Raises:
        SecretsError: the age file is there but cannot be decrypted or read.
    """
    names = list(names)
    file = folder / f"{studio}.secrets.age"
    values = _decrypted(file, environment) if names and file.is_file() else {}
    if unknown := sorted(set(values) - set(names)):
        known = ", ".join(sorted(names))
        raise SecretsError(f"{file}: {studio} has no secret {', '.join(unknown)}; it has: {known}")
    values |= {name: environment[variable(name)] for name in names if environment.get(variable(name))}
    if bad := sorted(name for name, value in values.items() if not value or {"\n", "\r", "\0"} & set(value)):
        raise SecretsError(f"the secret {', '.join(bad)} is empty or has a line break in it")
    return values


def _decrypted(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    import pyrage
    import yaml

    where = environment.get(IDENTITY)
    if not where:
        raise SecretsError(f"{file} is there: say with {IDENTITY} which file holds the age identity that opens it")
    try:
        lines = Path(where).expanduser().read_text().splitlines()
        identities = [
            pyrage.x25519.Identity.from_str(line.strip()) for line in lines if line.startswith("AGE-SECRET-KEY-")
        ]
    except (OSError, pyrage.IdentityError) as error:
        raise SecretsError(f"{where} ({IDENTITY}) holds no age identity that can be read: {error}") from None
    try:
        content = yaml.safe_load(pyrage.decrypt(file.read_bytes(), identities))
    except pyrage.DecryptError:
        raise SecretsError(f"{file} cannot be opened with the identity in {where}") from None
    except yaml.YAMLError:
        raise SecretsError(f"{file} is opened, but it holds no YAML") from None
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise SecretsError(f"{file} must hold a mapping of secrets' names to text")
    return {str(name): value for name, value in content.items()}
