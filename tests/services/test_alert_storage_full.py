"""StorageReadOnly on the real VictoriaMetrics that takes nothing more, since its disk is too full."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from alertmanager_support import running

from lab.plain import parts
from lab.ports import free_ports
from lab.run import wait_for
from studio.model import load_studio
from studio.render import rules

pytestmark = pytest.mark.services
(RULE,) = [r for r in rules.groups(load_studio("lab"))["system"] if r.get("alert") == "StorageReadOnly"]
NOTHING = RULE["expr"].replace("[1m]", "[10s]")
"""The rule, when it is scraped each second."""


@contextmanager
def storing(folder: Path, least_free: str) -> Iterator[str]:
    """A VictoriaMetrics that scrapes itself and wants so much room; its URL."""
    (port,) = free_ports(1)
    (folder / "scrape.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n- job_name: victoriametrics\n"
        f"  static_configs: [{{targets: ['127.0.0.1:{port}'], labels: {{studio: lab}}}}]\n"
    )
    flags = {
        "storageDataPath": folder / "data",
        "httpListenAddr": f"127.0.0.1:{port}",
        "promscrape.config": folder / "scrape.yml",
        "search.latencyOffset": "1s",
        "memory.allowedBytes": "100MB",
        "storage.minFreeDiskSpaceBytes": least_free,
    }
    argv = parts.command(parts.build_root(), "usr/bin/victoria-metrics", *(f"-{k}={v}" for k, v in flags.items()))
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/health", timeout=2).ok
        except requests.RequestException:
            return False

    with running(argv, folder / "log"):
        wait_for("VictoriaMetrics answers", answers, 60)
        yield url


def found(url: str, query: str) -> list[dict[str, str]]:
    answer = requests.get(f"{url}/api/v1/query", params={"query": query, "nocache": "1"}, timeout=30)
    answer.raise_for_status()
    return [row["metric"] for row in answer.json()["data"]["result"]]


def test_it_is_told_by_the_rule_and_not_by_a_sample_of_its_own(tmp_path: Path) -> None:
    with storing(tmp_path, "1MB") as url:
        wait_for("it stores of itself", lambda: found(url, "up") != [], 60)
        assert found(url, NOTHING) == []
    with storing(tmp_path, "1000TB") as url:
        wait_for("the rule speaks", lambda: found(url, NOTHING) == [{"job": "victoriametrics", "studio": "lab"}], 90)
        metrics = requests.get(f"{url}/metrics", timeout=30).text.splitlines()
        assert [line.rpartition(" ")[2] for line in metrics if line.startswith("vm_storage_is_read_only")] == ["1"]
        # What it says of itself to whoever asks, nobody finds stored.
        assert found(url, "max_over_time(vm_storage_is_read_only[1h]) == 1") == []
    with storing(tmp_path, "1MB") as url:
        wait_for("it stores again", lambda: found(url, NOTHING) == [], 60)
