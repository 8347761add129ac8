"""The file that HUB_PAGE_CONFIG names: what the page knows of the studio."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from hub.settings import SettingsError


class Furnace(BaseModel):
    id: str
    label: str | None = None
    low: float | None = None
    high: float | None = None


class PageConfig(BaseModel):
    """The studio's name and its furnaces with their limits, in °C."""

    title: str = "Studio"
    studio: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$")] = ""
    furnaces: list[Furnace] = []


def page_config(path: Path | None) -> PageConfig:
    """Raises SettingsError."""
    if path is None:
        return PageConfig()
    try:
        return PageConfig.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise SettingsError(f"HUB_PAGE_CONFIG ({path}) cannot be used: {error}") from None
