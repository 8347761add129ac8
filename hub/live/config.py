"""The file that HUB_PAGE_CONFIG names: what the page knows of the studio."""

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from hub.settings import Seconds, SettingsError


class Furnace(BaseModel):
    id: str
    label: str | None = None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    silent_after: Seconds = 600
    """Seconds after which its newest temperature says nothing of it any more."""
    off: bool = False
    """Switched off on purpose: whatever it is at, or that it is silent, is no trouble."""


class PageConfig(BaseModel):
    """The studio's name, its furnaces with their limits, in °C, and when its devices count as silent."""

    title: str = "Studio"
    studio: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$")] = ""
    furnaces: list[Furnace] = []
    silent_after: dict[str, Seconds] = {}
    """Seconds without a word after which a device is silent, by its id; for others HUB_DEVICE_SILENT_SECONDS."""


def page_config(path: Path | None) -> PageConfig:
    """Raises SettingsError."""
    if path is None:
        return PageConfig()
    try:
        return PageConfig.model_validate(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise SettingsError(f"HUB_PAGE_CONFIG ({path}) cannot be used: {error}") from None
