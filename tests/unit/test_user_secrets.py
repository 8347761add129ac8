"""The user's own secrets: from the environment, or from a file encrypted with age; never shown."""

from pathlib import Path

import pyrage
import pytest

from studio import secrets

NAMES = ["irm-shop-url", "loki-token"]
IDENTITY = pyrage.x25519.Identity.generate()


def encrypted(folder: Path, text: str, identity: object = IDENTITY) -> dict[str, str]:
    """Write the studio's secrets file; returns the environment that opens it."""
    (folder / "test.secrets.age").write_bytes(pyrage.encrypt(text.encode(), [IDENTITY.to_public()]))
    (folder / "key.txt").write_text(f"# created: now\n{identity}\n")
    return {"STUDIO_AGE_IDENTITY": str(folder / "key.txt")}


def test_the_environment_gives_secrets_by_their_names(tmp_path: Path) -> None:
    environment = {
        "STUDIO_SECRET_IRM_SHOP_URL": "https://x",
        "STUDIO_SECRET_OTHER": "y",
        "STUDIO_SECRET_LOKI_TOKEN": "",
    }
    assert secrets.given("test", NAMES, environment, tmp_path) == {"irm-shop-url": "https://x"}


def test_the_file_gives_secrets_and_the_environment_wins(tmp_path: Path) -> None:
    environment = encrypted(tmp_path, "irm-shop-url: from file\nloki-token: from file too\n")
    environment["STUDIO_SECRET_LOKI_TOKEN"] = "from environment"
    given = secrets.given("test", NAMES, environment, tmp_path)
    assert given == {"irm-shop-url": "from file", "loki-token": "from environment"}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("irm-shop-ulr: secret-value\n", "test has no secret irm-shop-ulr; it has: irm-shop-url, loki-token"),
        ("- secret-value\n", "must hold a mapping"),
        ("irm-shop-url: 5\n", "must hold a mapping"),
        ("irm-shop-url: {", "holds no YAML"),
        ("irm-shop-url: |\n  secret-value\n  two\n", "irm-shop-url is empty or has a line break"),
    ],
)
def test_a_file_that_is_wrong_is_told_without_its_values(tmp_path: Path, content: str, text: str) -> None:
    environment = encrypted(tmp_path, content)
    with pytest.raises(secrets.SecretsError, match=text) as error:
        secrets.given("test", NAMES, environment, tmp_path)
    assert "secret-value" not in str(error.value)


def test_a_file_without_its_identity_says_what_to_set(tmp_path: Path) -> None:
    encrypted(tmp_path, "irm-shop-url: x\n")
    with pytest.raises(secrets.SecretsError, match="say with STUDIO_AGE_IDENTITY"):
        secrets.given("test", NAMES, {}, tmp_path)
    with pytest.raises(secrets.SecretsError, match="no age identity that can be read"):
        secrets.given("test", NAMES, {"STUDIO_AGE_IDENTITY": str(tmp_path / "none")}, tmp_path)


def test_another_identity_does_not_open_it(tmp_path: Path) -> None:
    environment = encrypted(tmp_path, "irm-shop-url: x\n", pyrage.x25519.Identity.generate())
    with pytest.raises(secrets.SecretsError, match="cannot be opened with the identity"):
        secrets.given("test", NAMES, environment, tmp_path)
