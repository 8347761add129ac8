"""Which receiver each rule's labels lead to, and what holds back what: by the real Alertmanager, as it is rendered."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from alertmanager_support import Alertmanager, every_rule

from lab.plain import parts
from lab.run import wait_for
from studio.render.alertmanager import RECEIVERS
from studio.render.catalogue import entries

pytestmark = pytest.mark.services
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def root() -> Path:
    return parts.build_root()


def said(root: Path, program: str, *arguments: str, cwd: Path | None = None) -> str:
    argv = parts.command(root, f"usr/bin/{program}", *arguments)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()))
def test_the_parts_own_checkers_take_what_is_rendered(root: Path, name: str, tmp_path: Path) -> None:
    said(root, "vmalert", "-dryRun", f"-rule={GOLDEN / name / 'vmalert/rules'}/*.yml", "-rule.validateTemplates")
    checked = said(root, "amtool", "check-config", str(GOLDEN / name / "alertmanager/alertmanager.yml"))
    assert "SUCCESS" in checked


def test_the_checkers_refuse_what_is_wrong(root: Path, tmp_path: Path) -> None:
    """What says that they look."""
    broken = tmp_path / "broken.yml"
    broken.write_text("groups: [{name: x, rules: [{alert: A, expr: 'avg_over_time('}]}]")
    with pytest.raises(AssertionError, match=r"broken\.yml"):
        said(root, "vmalert", "-dryRun", f"-rule={broken}")
    broken.write_text("route: {receiver: nobody}")
    with pytest.raises(AssertionError, match="nobody"):
        said(root, "amtool", "check-config", str(broken))


def test_every_rules_labels_lead_to_the_right_receiver(root: Path) -> None:
    config = f"--config.file={GOLDEN / 'lab/alertmanager/alertmanager.yml'}"
    for rule in every_rule():
        labels = {**rule["labels"], "alertname": rule["alert"], "studio": "lab"}
        receiver = said(root, "amtool", "config", "routes", "test", config, *(f"{k}={v}" for k, v in labels.items()))
        wanted = "heartbeat" if rule["alert"] == "Watchdog" else RECEIVERS[rule["labels"]["type"]]
        assert receiver.strip() == wanted, labels
    assert said(root, "amtool", "config", "routes", "test", config, "alertname=Unheard").strip() == "irm-system"


def pairs() -> Iterator[tuple[str, dict[str, str], dict[str, str], bool]]:
    """Of every inhibition: its name, the labels of a source and of a target, and whether the target is held back.

    Each is in a studio of its own, so that no other holds anything of it back.
    """
    for source in (alert for alert in entries().values() if alert.inhibits):
        one = ["furnace"] if source.each in {"furnace", "flame"} else []
        for target in source.inhibits:
            for other in (None, "studio", "type", *one, *source.same):
                name = f"{source.name} > {target}, other {other}"
                same = {"studio": name, "type": source.types[0], "furnace": "main", "job": "j", "mountpoint": "/"}
                changed = {**same, other: f"not {name}"} if other else same
                yield (
                    name,
                    {**same, "alertname": source.name, "id": "source"},
                    {**changed, "alertname": target, "id": name},
                    other is None,
                )


def test_each_inhibition_holds_back_what_it_names_and_nothing_of_others(root: Path, tmp_path: Path) -> None:
    """With the same labels it does; of another studio or type, or furnace, part or disk if it is about one, not."""
    found = list(pairs())
    expected = {name: held for name, _, _, held in found} | {"source": False}
    assert len(expected) > 3 * len([alert for alert in entries().values() if alert.inhibits])
    with Alertmanager(root, tmp_path).up() as alertmanager:
        for _, source, target, _ in found:
            alertmanager.post(source, target)
        # Alertmanager judges inhibition when it is about to tell a group: ten seconds later.
        wait_for("every inhibition is judged", lambda: alertmanager.inhibited() == expected, 60)
