"""What pydantic found wrong, said for people: what stands there, what is wanted, and what to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from studio.model.document import Document, nearest
from studio.model.errors import FieldPath, Findings, Problem, field_name
from studio.model.renamed import successor
from studio.model.studio import Studio

KINDS: Final = {dict: "keys with values", tuple: "a list", str: "text", bool: "true or false", type(None): "nothing"}
BOUNDS: Final = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def model_at(path: FieldPath) -> type[BaseModel] | None:
    """The model whose keys stand at a path."""
    model: type[BaseModel] | None = Studio
    for step in path:
        if isinstance(step, str):
            info = model.model_fields.get(step) if model else None
            model = _model_in(info.annotation) if info else None
    return model


def field_at(path: FieldPath) -> FieldInfo | None:
    """The definition of the field at a path; None for what the model does not have."""
    owner = model_at(path[:-1])
    return owner.model_fields.get(str(path[-1])) if owner and path else None


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def explain(error: ErrorDetails, document: Document) -> list[Problem]:
    """The problems that one of pydantic's errors stands for."""
    path: FieldPath = tuple(error["loc"])
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Findings):
        return [document.problem((*path, *rest), what) for rest, what in cause.found]
    if kind == "missing" and any(successor((*path[:-1], key)) == path[-1] for key in value):
        return []
    if kind == "extra_forbidden":
        return [_unknown(path, document)]
    told = _VALUES.get(kind) or _wrong_kind(kind)
    what, do = told(_Slip(path, value, document.written.get(path, ""), context))
    return [document.problem(path, what, do)]


@dataclass(frozen=True)
class _Slip:
    """A value that does not fit: where, what YAML made of it, how it is written, and what pydantic says."""

    path: FieldPath
    value: Any
    written: str
    context: Mapping[str, Any]

    @property
    def shown(self) -> str:
        """The value as people may see it: what may be a secret is not repeated."""
        text = repr(self.value) if isinstance(self.value, str) else str(self.value)
        if str(self.path[-1:]).endswith("_secret',)") or ("://" in text and "@" in text):
            return "what stands here (not repeated, it may be secret)"
        return text if len(text) <= 80 else f"{text[:70]}... ({len(text)} characters)"

    @property
    def found(self) -> str:
        return KINDS.get(type(self.value), "a number")

    def wanted(self, do: str = "") -> str:
        """What to do, what the field is for, and an example."""
        info = field_at(self.path)
        about = info.description or "" if info else ""
        text = f"{do}: {about}" if do and about else do or about
        if info and info.examples:
            text += f"{', ' if text else ''}as in `{self.path[-1]}: {info.examples[0]}`"
        return text


Told = tuple[str, str]


def _bound(slip: _Slip) -> Told:
    words = [f"{BOUNDS[key]} {limit:g}" for key, limit in slip.context.items() if key in BOUNDS]
    return f"{slip.shown} is out of range: {', '.join(words)}", slip.wanted()


def _choice(slip: _Slip) -> Told:
    info = field_at(slip.path)
    choices = [str(c) for c in get_args(info.annotation)] if info else []
    near = nearest(slip.value, choices) if isinstance(slip.value, str) else None
    do = f"did you mean {near!r}?" if near else f"choose one of: {', '.join(choices)}"
    return f"{slip.written or slip.shown!r} is none of {', '.join(choices)}", do


_VALUES: Final[dict[str, Callable[[_Slip], Told]]] = {
    "missing": lambda slip: ("is missing", slip.wanted("add it")),
    "too_short": lambda slip: ("is empty", "give at least one"),
    "string_too_short": lambda slip: ("is empty", "give some text"),
    "string_too_long": lambda slip: (
        f"{slip.shown} is longer than {slip.context['max_length']} characters",
        "shorten it",
    ),
    "string_pattern_mismatch": lambda slip: (f"{slip.shown} does not fit", slip.wanted()),
    "value_error": lambda slip: (f"{slip.shown} does not fit", str(slip.context["error"])),
    "finite_number": lambda slip: (f"{slip.written} is no number of the real world", slip.wanted("give a number")),
    "literal_error": _choice,
    **dict.fromkeys(["greater_than_equal", "greater_than", "less_than_equal", "less_than"], _bound),
}


def _unknown(path: FieldPath, document: Document) -> Problem:
    key = str(path[-1])
    model = model_at(path[:-1])
    known = list(model.model_fields) if model else []
    what = f"{field_name(path[:-1]) or 'a studio'} has no key {key!r}"
    homes = [name for name, part in Studio.model_fields.items() if key in _keys(part.annotation)]
    if len(path) > 1 and key in Studio.model_fields:
        homes = ["the top level"]
    if new := successor(path):
        what, do = f"the key {key!r} is now called {new!r}", "rename it"
    elif homes:
        do = f"it belongs to {' or '.join(homes)}"
    elif near := nearest(key, known):
        do = f"did you mean {near!r}?"
    else:
        do = f"it has: {', '.join(known)}"
    return document.problem(path, what, do, key=True)


def _keys(annotation: Any) -> set[str]:
    model = _model_in(annotation)
    return set(model.model_fields) if model else set()


def _wrong_kind(kind: str) -> Callable[[_Slip], Told]:
    """A value of another kind than the field's: the commonest slips in YAML have an answer of their own."""
    known: dict[str, Callable[[_Slip], Told]] = {
        "string_type": _no_text,
        "float_type": _no_number,
        "int_type": _no_number,
        "int_from_float": _no_number,
        "bool_type": lambda slip: (f"{slip.shown} is neither true nor false", "write true or false, without quotes"),
        "tuple_type": lambda slip: (f"is {slip.found}, a list is wanted", "begin each item with `- `"),
        "model_type": _no_keys,
    }
    return known.get(kind, lambda slip: (f"{slip.shown} does not fit ({kind})", slip.wanted()))


def _no_text(slip: _Slip) -> Told:
    if slip.value is None:
        return "has no value", "give one, or take the key away"
    if isinstance(slip.value, dict | tuple):
        return f"is {slip.found}, text is wanted", slip.wanted()
    label = f"{slip.path[-1]}: " if isinstance(slip.path[-1], str) else "- "
    reads = f"YAML reads {slip.written} as {slip.found}, text is wanted"
    return reads, f'put it in quotes: `{label}"{slip.written}"`'


def _no_number(slip: _Slip) -> Told:
    if isinstance(slip.value, str) and _is_number(slip.value):
        return f"{slip.shown} is text, a number is wanted", f"write `{slip.path[-1]}: {float(slip.value):g}`"
    found = slip.shown if isinstance(slip.value, str) else slip.found
    if isinstance(slip.value, float):
        return f"{slip.written} is no whole number", slip.wanted("give a whole number")
    return f"{found} stands where a number is wanted", slip.wanted("give a number")


def _no_keys(slip: _Slip) -> Told:
    model = model_at(slip.path)
    keys = ", ".join(model.model_fields) if model else ""
    return f"is {slip.found}, keys with values are wanted", f"it may have: {keys}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
