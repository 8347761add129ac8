"""The program's own log: lines on standard error in Vector's style."""

import json
import sys
import time

from vector_standin.telemetry import Component


def log(level: str, message: str, component: Component | None = None, **facts: object) -> None:
    """One line; never give it a secret."""
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1000 % 1_000_000:06d}Z"
    place = ""
    if component:
        labels = " ".join(f"{key}={value}" for key, value in component.labels.items())
        place = f"{component.kind}{{{labels}}}: "
    rest = "".join(f" {key}={json.dumps(value, ensure_ascii=False, default=str)}" for key, value in facts.items())
    sys.stderr.write(f"{at} {level:>5} {place}vector_standin: {message}{rest}\n")
    sys.stderr.flush()
