"""What the page shows of the stack around the hub: furnaces from VictoriaMetrics, alerts from Alertmanager, health.

What cannot be reached is said to be away, within seconds; answers are kept for two seconds so that many pages ask once.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from hub.live.config import Furnace, page_config
from hub.settings import Settings

DAY: Final = 86_400
STEP: Final = 300
KEPT_SECONDS: Final = 2.0
TIMEOUT: Final = 3.0
TEMPERATURE: Final = "furnace_furnace_temp"
MOST_SERIES: Final = 100
WATCHDOG: Final = "Watchdog"
"""It always fires, so that its silence is noticed: no news for who looks at the page."""
GENERAL: Final = frozenset({"alertname", "alertgroup", "severity", "type", "team", "studio"})
"""Labels that do not tell which of several things an alert is about."""
MOST_LABELS: Final = 8
LABEL_CHARS: Final = 100
Json = dict[str, Any]
UNMEASURED: Final[Json] = {"points": [], "age_s": None, "newest": None}


class Away(Exception):
    """A part of the stack does not answer as it should."""


class Outside:
    """`problems` gets what the last look at each part found wrong."""

    def __init__(self, settings: Settings, problems: dict[str, str]) -> None:
        self._problems = problems
        self._tsdb = settings.tsdb_url.rstrip("/")
        self._alertmanager = settings.alertmanager_url.rstrip("/")
        self.config = page_config(settings.page_config)
        self._http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)
        self._kept: dict[str, tuple[float, asyncio.Future[Any]]] = {}
        self._seen: Json = {"furnaces": list(self._unmeasured().values()), "at": None}

    async def close(self) -> None:
        await self._http.aclose()

    async def furnaces(self) -> Json:
        """{"furnaces": [{id, label, low, high, age_s, newest: °C, points: [[s, °C]]}], "at": s, "problem": text}

        `problem` is null when all is well; else they are as VictoriaMetrics last told them, at the time `at`, which is
        null when it never did.
        """
        return dict(await self._once("furnaces", self._furnaces))

    async def alerts(self) -> Json:
        """{"alerts": [{name, severity, about, summary, since}], "problem": text or null}"""
        return dict(await self._once("alerts", self._alerts))

    async def health(self) -> list[Json]:
        """[{part, ok, why}] of the parts whose addresses are known; why is null for those that are fine."""
        return list(await self._once("health", self._health))

    async def _once(self, name: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        at, future = self._kept.get(name, (0.0, None))
        if future is None or time.monotonic() - at > KEPT_SECONDS:
            future = asyncio.ensure_future(ask())
            self._kept[name] = (time.monotonic(), future)
        return await asyncio.shield(future)

    async def _get(self, url: str, **params: str | float) -> Any:
        try:
            response = await self._http.get(url, params=params)
            response.raise_for_status()
            return response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Away(type(error).__name__) from None

    async def _query(self, path: str, query: str, **more: float) -> list[Json]:
        # Without nocache VictoriaMetrics hides the last half minute.
        answer = await self._get(f"{self._tsdb}/api/v1/{path}", query=query, nocache=1, **more)
        try:
            found: list[Json] = answer["data"]["result"][:MOST_SERIES]
        except (KeyError, TypeError):
            raise Away("an unexpected answer") from None
        return found

    async def _furnaces(self) -> Json:
        problem = None if self._tsdb else "VictoriaMetrics is not set up (HUB_TSDB_URL)"
        if self._tsdb:
            try:
                self._seen = await self._measured(time.time())
            except Away as error:
                problem = f"VictoriaMetrics is away ({error})"
        return {**self._seen, "problem": problem}

    async def _measured(self, now: float) -> Json:
        """What VictoriaMetrics knows of the furnaces. Raises Away."""
        shown = self._unmeasured()
        chosen = f'{{studio="{self.config.studio}"}}' if self.config.studio else ""
        series, ages, newest = await asyncio.gather(
            self._query(
                "query_range",
                f"avg by (furnace) (avg_over_time({TEMPERATURE}{chosen}[{STEP}s]))",
                start=int(now - DAY),
                end=int(now),
                step=STEP,
            ),
            self._query("query", f"max by (furnace) (tlast_over_time({TEMPERATURE}{chosen}[{DAY}s]))"),
            self._query("query", f"avg by (furnace) (last_over_time({TEMPERATURE}{chosen}[{STEP}s]))"),
        )
        try:
            for found in series:
                furnace = _furnace(shown, found)
                furnace["points"] = [[at, round(float(v), 1)] for at, v in found["values"] if math.isfinite(float(v))]
            for found in ages:
                _furnace(shown, found)["age_s"] = max(0, round(now - float(found["value"][1])))
            for found in newest:
                value = float(found["value"][1])
                _furnace(shown, found)["newest"] = round(value, 1) if math.isfinite(value) else None
        except (AttributeError, KeyError, TypeError, ValueError):
            raise Away("an unexpected answer") from None
        return {"furnaces": list(shown.values()), "at": round(now, 3)}

    def _unmeasured(self) -> dict[str, Json]:
        return {f.id: f.model_dump() | UNMEASURED for f in self.config.furnaces}

    async def _alerts(self) -> Json:
        if not self._alertmanager:
            return {"alerts": [], "problem": "Alertmanager is not set up (HUB_ALERTMANAGER_URL)"}
        try:
            answer = await self._get(f"{self._alertmanager}/api/v2/alerts", active="true", silenced="false")
            found = [alert for item in answer[:MOST_SERIES] if (alert := _alert(item))["name"] != WATCHDOG]
            return {"alerts": found, "problem": None}
        except (Away, AttributeError, TypeError) as error:
            return {"alerts": [], "problem": f"Alertmanager is away ({error})"}

    async def _health(self) -> list[Json]:
        asked = [("VictoriaMetrics", self._tsdb, "/health"), ("Alertmanager", self._alertmanager, "/-/healthy")]

        async def check(part: str, url: str) -> Json:
            try:
                status = (await self._http.get(url)).status_code
                why = None if status == 200 else f"it answers {status}"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                why = f"it does not answer ({type(error).__name__})"
            if why is None:
                self._problems.pop(part, None)
            else:
                self._problems[part] = why
            return {"part": part, "ok": why is None, "why": why}

        return list(await asyncio.gather(*(check(part, url + path) for part, url, path in asked if url)))


def _furnace(shown: dict[str, Json], series: Json) -> Json:
    name = str(series["metric"].get("furnace", "?"))
    return shown.setdefault(name, Furnace(id=name).model_dump() | UNMEASURED)


def _alert(item: Json) -> Json:
    labels, notes = item.get("labels", {}), item.get("annotations", {})
    telling = sorted((str(key), str(value)) for key, value in labels.items() if key not in GENERAL)
    return {
        "name": str(labels.get("alertname", "?")),
        "severity": str(labels.get("severity", "")),
        "about": [f"{key} {value}"[:LABEL_CHARS] for key, value in telling[:MOST_LABELS]],
        "summary": str(notes.get("summary", "")),
        "since": str(item.get("startsAt", "")),
    }
