"""`studio dashboards push` against a stand-in for Grafana, in both generations of its API."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from standins.grafana_standin import TOKEN, GrafanaStandin

from studio.cli.app import run
from studio.cli.dashboards_push import holds
from studio.model import load_studio
from studio.render.grafana import render

pytestmark = pytest.mark.services
COUNT = 7
GENERATIONS: list[tuple[str | None, str]] = [(None, "default"), ("v1beta1", "default"), ("v1", "stacks-4711")]


@pytest.fixture(params=GENERATIONS, ids=["legacy", "v1beta1", "v1 on a stack"])
def grafana(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[GrafanaStandin]:
    """Each of them, and the environment that leads there."""
    found = GrafanaStandin(*request.param)
    monkeypatch.setenv("GRAFANA_URL", f"{found.url}/")
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    monkeypatch.delenv("GRAFANA_NAMESPACE", raising=False)
    yield found
    found.close()


def push(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, results, standard error."""
    code = run(["dashboards", "push", "rosewood", "--json", *options])
    out, err = capsys.readouterr()
    assert TOKEN not in out + err
    assert "Traceback" not in out + err
    return code, json.loads(out) if out else [], err


def outcomes(results: list[dict[str, Any]]) -> list[str]:
    return [result["outcome"] for result in results]


def test_first_they_are_made_then_left_alone(grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str]) -> None:
    code, results, _ = push(capsys)
    assert (code, outcomes(results)) == (0, ["created"] * COUNT)
    assert grafana.folders == {"rosewood": "Studio Rosewood Glass"}
    rendered = [json.loads(artifact.content) for artifact in render(load_studio("rosewood")).values()]
    for dashboard in rendered:
        kept = grafana.dashboards[dashboard["uid"]]
        assert kept["folder"] == "rosewood"
        assert kept["spec"]["panels"] == dashboard["panels"]
    assert {r["url"] for r in results} == {f"{grafana.url}/d/{d['uid']}" for d in rendered}
    grafana.requests.clear()
    code, results, _ = push(capsys)
    assert (code, outcomes(results)) == (0, ["unchanged"] * COUNT)
    assert grafana.writes == []


def test_what_somebody_changed_comes_back(grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str]) -> None:
    push(capsys)
    grafana.dashboards["pipeline-rosewood"]["spec"]["panels"].pop()
    grafana.dashboards["furnaces-rosewood"]["folder"] = "elsewhere"
    grafana.requests.clear()
    code, results, _ = push(capsys)
    updated = {result["dashboard"] for result in results if result["outcome"] == "updated"}
    assert (code, updated, len(grafana.writes)) == (0, {"pipeline", "furnaces"}, 2)
    assert grafana.dashboards["pipeline-rosewood"]["version"] == 2
    assert grafana.dashboards["furnaces-rosewood"]["folder"] == "rosewood"


def test_a_dry_run_writes_nothing(grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str]) -> None:
    code, results, _ = push(capsys, "--dry-run")
    assert (code, outcomes(results)) == (0, ["would be created"] * COUNT)
    push(capsys)
    del grafana.dashboards["pipeline-rosewood"]
    grafana.dashboards["furnaces-rosewood"]["spec"]["title"] = "Mine"
    grafana.requests.clear()
    _, results, _ = push(capsys, "--dry-run")
    assert sorted(outcomes(results)) == ["unchanged"] * (COUNT - 2) + ["would be created", "would be updated"]
    assert grafana.writes == []


def test_the_folder_can_be_chosen(grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str]) -> None:
    grafana.folders["shop"] = "The shop"
    assert push(capsys, "--folder", "shop")[0] == 0
    assert grafana.folders == {"shop": "The shop"}
    assert {kept["folder"] for kept in grafana.dashboards.values()} == {"shop"}


def test_one_that_fails_stops_no_other(grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str]) -> None:
    grafana.folders["rosewood"] = "there"
    grafana.answers.append((500, {"message": "the database is locked"}))
    code, results, err = push(capsys)
    assert (code, outcomes(results)) == (1, ["failed"] + ["created"] * (COUNT - 1))
    assert "the database is locked" in results[0]["message"]
    assert "1 of 7 dashboards could not be pushed" in err
    assert outcomes(push(capsys)[1]) == ["created"] + ["unchanged"] * (COUNT - 1)


def test_who_comes_in_between_is_not_overwritten_unseen(
    grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str]
) -> None:
    grafana.folders["rosewood"] = "there"
    grafana.answers.append((409, {"message": "the object has been modified"}))
    code, results, _ = push(capsys)
    assert code == 1
    assert "the object has been modified" in results[0]["message"]


def test_a_wrong_token_is_said(
    grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "wrong")
    code, results, err = push(capsys)
    assert (code, results) == (1, [])
    assert "does not take the token (GRAFANA_TOKEN)" in err
    assert "wrong" not in err


def test_a_token_is_not_sent_elsewhere(grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str]) -> None:
    other = GrafanaStandin(None)
    grafana.folders["rosewood"] = "there"
    grafana.answers.append((302, {"location": other.url}))
    code, _, err = push(capsys)
    assert code == 3
    assert "sends elsewhere (302)" in err
    assert other.requests == []
    other.close()


def test_a_grafana_that_is_away(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    gone = GrafanaStandin(None)
    gone.close()
    monkeypatch.setenv("GRAFANA_URL", gone.url)
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    code, results, err = push(capsys)
    assert (code, results) == (3, [])
    assert f"{gone.url} does not answer" in err


ODD: list[Any] = [
    {},
    [],
    "x",
    None,
    {"versions": None},
    {"versions": ["v1"]},
    {"versions": [{"version": "v1"}], "metadata": {}},
    {"dashboard": []},
]


@pytest.mark.parametrize("answer", ODD, ids=json.dumps)
def test_who_answers_something_else_is_no_grafana(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    other = GrafanaStandin(None)
    monkeypatch.setattr(other, "answer", lambda *_: (200, answer))
    monkeypatch.setenv("GRAFANA_URL", other.url)
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    code, results, err = push(capsys)
    assert (code, results) == (3, [])
    assert "is it one?" in err
    other.close()


def test_a_folder_or_namespace_is_one_word_of_the_path(
    grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_NAMESPACE", "../../other")
    push(capsys, "--dry-run", "--folder", "../shop")
    push(capsys, "--folder", "../shop")
    assert not [path for _, path in grafana.requests if ".." in path.split("/")]


@pytest.mark.parametrize(
    ("url", "token", "said"),
    [
        ("", TOKEN, "GRAFANA_URL must be set"),
        ("https://grafana.example.net", "", "GRAFANA_TOKEN must be set"),
        ("", "", "GRAFANA_URL and GRAFANA_TOKEN must be set"),
        ("ftp://grafana.example.net", TOKEN, "must be an address such as"),
        ("https://somebody:pass@grafana.example.net", TOKEN, "without an account"),
        ("http://grafana.example.net", TOKEN, "--plain-http does it still"),
        ("https://grafana.example.net", "two\nlines", "GRAFANA_TOKEN has characters"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_sent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str, token: str, said: str
) -> None:
    monkeypatch.setenv("GRAFANA_URL", url)
    monkeypatch.setenv("GRAFANA_TOKEN", token)
    code, results, err = push(capsys)
    assert (code, results) == (2, [])
    assert said in err


@pytest.mark.parametrize(
    ("theirs", "same"),
    [
        ({"a": 1, "b": [{"c": 2}], "e": "", "added": True}, True),
        ({"a": 1, "b": [{"c": 2, "version": 9}]}, True),
        ({"a": 1, "b": [{"c": 3}]}, False),
        ({"a": 1, "b": [{"c": 2}, {}]}, False),
        ({"b": [{"c": 2}]}, False),
        ({"a": True, "b": []}, False),
        ([], False),
    ],
)
def test_what_grafana_adds_or_leaves_out_empty_is_no_change(theirs: Any, same: bool) -> None:
    assert holds(theirs, {"a": 1, "b": [{"c": 2, "version": 1}], "e": "", "f": None}) is same


def test_a_switch_that_grafana_leaves_out_is_a_change() -> None:
    assert not holds({}, {"editable": False})


def test_a_table_for_people(grafana: GrafanaStandin, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dashboards", "push", "rosewood"]) == 0
    out = capsys.readouterr().out
    assert out.count("created") == COUNT
    assert f"{grafana.url}/d/runner-overview-rosewood" in out


def test_a_deploy_is_fine_whatever_grafana_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.cli.dashboards import after_deploy

    studio = load_studio("rosewood")
    monkeypatch.setenv("GRAFANA_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    after_deploy(studio, "rosewood")
    err = capsys.readouterr().err
    assert "the deploy is fine, but the dashboards are not all in Grafana" in err
    monkeypatch.delenv("GRAFANA_URL")
    after_deploy(studio, "rosewood")
    assert capsys.readouterr() == ("", "")
