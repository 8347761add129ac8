"""Run by the Python with vector-vrl: takes messages through a configuration's transforms, and says what became of them.

Each line on standard input is a JSON list of [topic, payload (base64)]; each line on standard output a JSON list of
{"series": [lines of the InfluxDB protocol], "dead": [[reason, kind]]}.
"""

import base64
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vector_standin import config
from vector_standin.event import Event, Log, Metric
from vector_standin.influx import line
from vector_standin.telemetry import Telemetry
from vector_standin.topology import Topology


def main(file: str) -> None:
    loaded, _ = config.load([Path(file)], secrets=False)
    topology = Topology(loaded, Telemetry())
    fate: dict[str, list[Any]] = {"series": [], "dead": []}

    def series(sink: dict[str, Any], events: Sequence[Event]) -> None:
        excepted = sink["encoding"]["except_fields"]
        fate["series"] += [
            line(e, sink["measurement"], set(sink["tags"]), excepted) for e in events if isinstance(e, Log)
        ]

    def dead(events: Sequence[Event]) -> None:
        fate["dead"] += [[dict(e.tags)["reason"], dict(e.tags)["kind"]] for e in events if isinstance(e, Metric)]

    for sink in loaded["sinks"].values():
        if sink["type"] == "influxdb_logs":
            for output in sink["inputs"]:
                topology.connect(output, partial(series, sink))
    topology.connect("dead_letter_count", dead)
    for request in sys.stdin:
        answers = []
        for topic, payload in json.loads(request):
            fate.update(series=[], dead=[])
            message = base64.b64decode(payload).decode(errors="replace")
            topology.emit("broker", [Log({"message": message, "source_type": "mqtt", "topic": topic})])
            topology.tick(final=True)
            answers.append(dict(fate))
        print(json.dumps(answers), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
