"""The model as JSON Schema, for editors that complete and check inventories while they are written."""

import json
from typing import Any, Final

from studio.model.studio import Studio

FILE: Final = "schema.json"


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an inventory file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Inventory of a studio",
        **{key: value for key, value in Studio.model_json_schema(mode="validation").items() if key != "title"},
    }


def schema_text() -> str:
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
