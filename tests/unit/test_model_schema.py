"""The JSON Schema beside the inventories is the model's, and editors find it."""

from studio.model.schema import FILE, schema, schema_text
from studio.paths import INVENTORIES


def test_the_file_is_up_to_date() -> None:
    text = (INVENTORIES / FILE).read_text()
    assert text == schema_text(), "run: studio check --schema > inventories/schema.json"


def test_unknown_keys_are_refused_by_the_schema_too() -> None:
    assert schema()["additionalProperties"] is False
    assert all(part.get("additionalProperties") is False for part in schema()["$defs"].values())


def test_every_inventory_names_the_schema_to_editors() -> None:
    for path in INVENTORIES.glob("*.yaml"):
        assert path.read_text().startswith(f"# yaml-language-server: $schema={FILE}\n"), path.name
