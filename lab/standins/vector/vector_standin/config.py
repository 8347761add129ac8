"""Loading configuration files: merged, checked against what is implemented, wired, secrets filled in."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vector_standin.components import CONFIG, SECRETS
from vector_standin.schema import MapOf, Refused

SECRET = re.compile(r"SECRET\[(\w+)\.([\w.\-/]+)\]")
SECTIONS = ("secret", "sources", "transforms", "sinks")

Config = dict[str, Any]


def _text(path: Path) -> str:
    if path.suffix not in {".yaml", ".yml"}:
        raise Refused([f"{path}: only YAML files are implemented by this stand-in"])
    try:
        return path.read_text()
    except OSError as error:
        raise Refused([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise Refused([f"{path}: {error}"]) from None


def _parsed(path: Path, text: str) -> Config:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        # The text may hold secrets by now, so only the place is told.
        mark = getattr(error, "problem_mark", None)
        raise Refused([f"{path}: line {mark.line + 1 if mark else '?'}: this is not YAML"]) from None
    if not isinstance(content, dict):
        raise Refused([f"{path}: a mapping is needed at the top"])
    return content


def _merge(texts: dict[Path, str]) -> Config:
    merged: Config = {}
    errors = []
    for path, text in texts.items():
        for key, value in _parsed(path, text).items():
            if key in SECTIONS and isinstance(value, dict) and isinstance(merged.get(key), dict):
                errors += [f"{path}: {key}.{name} is given twice" for name in value if name in merged[key]]
                merged[key] = {**merged[key], **value}
            elif key == "tests" and isinstance(value, list) and isinstance(merged.get(key), list):
                merged[key] = merged[key] + value
            elif key in merged and merged[key] != value:
                errors.append(f"{path}: {key} is given twice, with different values")
            else:
                merged[key] = value
    if errors:
        raise Refused(errors)
    return merged


def outputs(name: str, transform: Config) -> Iterator[str]:
    """The names under which a transform's outputs can be inputs of others."""
    if transform["type"] == "route":
        yield from (f"{name}.{route}" for route in transform["route"])
        if transform["reroute_unmatched"]:
            yield f"{name}._unmatched"
        return
    yield name
    if transform["type"] == "remap" and transform["reroute_dropped"]:
        yield f"{name}.dropped"


def _wiring(config: Config) -> tuple[list[str], list[str]]:
    """Errors and warnings about who is whose input."""
    parts = {**config["transforms"], **config["sinks"]}
    offered = {*config["sources"], *(o for n, t in config["transforms"].items() for o in outputs(n, t))}
    errors = [
        f"component {name!r} is in more than one of sources, transforms and sinks"
        for name in parts
        if sum(name in config[section] for section in SECTIONS[1:]) > 1
    ]
    errors += [
        f"{name}.inputs: {source!r} is no output of any component (wildcards are not implemented by this stand-in)"
        for name, part in parts.items()
        for source in part["inputs"]
        if source not in offered
    ]
    consumed = {source for part in parts.values() for source in part["inputs"]}
    if not errors:
        errors += _cycles(config["transforms"])
    warnings = [f'"{output}" has no consumers' for output in sorted(offered - consumed)]
    return errors, warnings


def _sources(sources: Config) -> list[str]:
    """What Vector refuses of its `mqtt` sources when it builds them."""
    errors = []
    for name, source in sources.items():
        if source["type"] == "mqtt" and (source["user"] is None) != (source["password"] is None):
            errors.append(f"sources.{name}: Username and password must be either both or neither provided.")
        if source["type"] == "mqtt" and not source["client_id"]:
            errors.append(f"sources.{name}.client_id: this stand-in needs one")
    return errors


def _cycles(transforms: Config) -> list[str]:
    feeds = {name: {i.partition(".")[0] for i in t["inputs"]} & set(transforms) for name, t in transforms.items()}
    while free := [name for name, inputs in feeds.items() if not inputs]:
        feeds = {name: inputs - set(free) for name, inputs in feeds.items() if name not in free}
    return [f"the transforms {', '.join(sorted(feeds))} feed one another in a circle"] if feeds else []


def _with_secrets(texts: dict[Path, str]) -> dict[Path, str]:
    """The files' texts with each SECRET[backend.name] replaced, as Vector does it: before they are parsed as YAML.

    Raises Refused that says which secret cannot be had, never a value.
    """
    errors: list[str] = []
    backends = MapOf(SECRETS).check(_merge(texts).get("secret", {}), "secret", errors)

    def secret(found: re.Match[str]) -> str:
        backend, name = found[1], found[2]
        if backend not in backends:
            errors.append(f"secret backend {backend!r} is not configured")
            return ""
        try:
            text = (Path(backends[backend]["path"]) / name).read_text()
        except (OSError, UnicodeDecodeError) as error:
            errors.append(f"secret {name!r} of backend {backend!r} cannot be read: {error}")
            return ""
        text = text.rstrip() if backends[backend]["remove_trailing_whitespace"] else text
        if not text:
            errors.append(f"secret in file {name!r} was empty")
        return text

    filled = {} if errors else {path: SECRET.sub(secret, text) for path, text in texts.items()}
    if errors:
        raise Refused(sorted(set(errors)))
    return filled


def load(paths: list[Path], *, secrets: bool) -> tuple[Config, list[str]]:
    """The merged configuration with all defaults, and warnings; `secrets` says whether to fill them in.

    Raises Refused with every error at once.
    """
    texts = {path: _text(path) for path in paths}
    merged = _merge(_with_secrets(texts) if secrets else texts)
    errors: list[str] = []
    config: Config = CONFIG.check(merged, "", errors)
    if not errors:
        errors, warnings = _wiring(config)
        errors += _sources(config["sources"])
    if errors:
        where = ", ".join(str(path) for path in paths)
        raise Refused([f"{where}: {error.removeprefix('.')}" for error in errors])
    return config, warnings
