"""Text and numbers as they may come in: bounded, without control characters, storable by both databases."""

import json
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from hub.ids import DEVICE_ID

_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
Line = Annotated[str, StringConstraints(pattern=_LINE, max_length=128, strip_whitespace=True)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
Site = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Action = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9._-]{0,63}$")]
DeviceId = Annotated[str, StringConstraints(pattern=DEVICE_ID)]
RequestId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
TokenId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{12}$")]
TokenText = Annotated[str, StringConstraints(max_length=256)]
FcmToken = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]+$", max_length=4096)]
BuildType = Literal["debug", "release"]
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
PARAMS_BYTES = 3072


def _params(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(orjson.dumps(value))
        json.dumps(value, allow_nan=False)  # orjson makes null of what is no number, or of 1e400
    except (TypeError, ValueError):
        told = "must be plain JSON: text without lone surrogates, integers below 2**63, numbers below 1.8e308"
        raise ValueError(told) from None
    if size > PARAMS_BYTES:
        raise ValueError(f"must be at most {PARAMS_BYTES} bytes of JSON")
    if "\\u0000" in orjson.dumps(value).decode():
        raise ValueError("must have no NUL character")
    return value


Params = Annotated[dict[str, Any], AfterValidator(_params)]


class Body(BaseModel):
    """What a request brings; a field that is not known is a mistake and said to be one."""

    model_config = ConfigDict(extra="forbid")


class Done(BaseModel):
    ok: bool = True


class Page(BaseModel):
    limit: int = Field(100, ge=1, le=1000)
