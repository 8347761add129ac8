"""Bad inventories: every problem of a file at once, each with its place, what is wrong, and what to do."""

import contextlib
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from studio.model import InventoryError, Studio, load_studio
from studio.model.explain import field_at
from studio.model.loader import PLACEHOLDERS, find, names, only
from studio.model.renamed import RENAMED
from studio.model.text import MAX_BYTES

BAD = Path(__file__).parent / "bad_inventories"
GOOD = "name: x\nfurnaces:\n  - {id: main, low: 1080, high: 1180}\n"


def problems(path: Path) -> str:
    with pytest.raises(InventoryError) as caught:
        load_studio(path)
    return "\n".join(problem.text(path.name) for problem in caught.value.problems)


@pytest.mark.parametrize("path", sorted(BAD.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_bad_inventory_says_exactly_this(path: Path) -> None:
    assert problems(path) == path.with_suffix(".txt").read_text().rstrip("\n")


def test_every_bad_inventory_has_its_text() -> None:
    assert {p.stem for p in BAD.glob("*.yaml")} == {p.stem for p in BAD.glob("*.txt")}
    assert len(list(BAD.glob("*.yaml"))) > 50


def test_a_secret_given_by_mistake_is_not_repeated() -> None:
    assert "hunter2" not in problems(BAD / "secret-value-for-name.yaml")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("#" * (MAX_BYTES + 1))
    assert problems(path) == "x.yaml: the file is larger than 1 MiB; an inventory is a page"


def test_an_endless_file_is_refused() -> None:
    assert problems(Path("/dev/zero")) == "zero: there is no such file; name a file that ends in .yaml"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path) == f"{tmp_path.name}: is a folder, not an inventory; name a file that ends in .yaml"


def test_a_folder_with_the_name_of_a_studio_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "attic.yaml").mkdir()
    with pytest.raises(InventoryError, match="is a folder, not an inventory"):
        load_studio("attic", tmp_path)


def test_a_mebibyte_of_brackets_ends_in_a_message(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("[" * MAX_BYTES)
    assert problems(path) == "x.yaml:1:22: nested deeper than 20 levels; undo the nesting"


def test_a_name_that_there_is_not_lists_those_that_there_are(tmp_path: Path) -> None:
    (tmp_path / "rosewood.yaml").write_text(GOOD)
    (tmp_path / "lab.yaml").write_text(GOOD)
    with pytest.raises(InventoryError) as caught:
        find("rosewod", tmp_path)
    assert caught.value.problems[0].what == "there is no studio 'rosewod'"
    assert caught.value.problems[0].do == "did you mean 'rosewood'? there is: lab, rosewood"


def test_an_inventory_that_ends_in_yml_is_to_be_renamed(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text(GOOD)
    with pytest.raises(InventoryError, match=r"inventories end in \.yaml; rename it to x\.yaml"):
        find("x", tmp_path)


def test_the_only_inventory_is_the_one_meant(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match="there is no inventory"):
        only(tmp_path)
    (tmp_path / "x.yaml").write_text(GOOD)
    assert only(tmp_path) == "x"
    (tmp_path / "y.yaml").write_text(GOOD)
    with pytest.raises(InventoryError, match=r"which studio\?; name one, or set STUDIO; there is: x, y"):
        only(tmp_path)


@pytest.mark.parametrize("name", names())
def test_every_inventory_of_the_repository_is_right(name: str) -> None:
    assert load_studio(name).name == name


def test_a_small_inventory_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("\ufeff" + GOOD.replace("\n", "\r\n"), encoding="utf-8")
    studio = load_studio(path)
    assert (studio.retention, studio.broker, studio.furnaces[0].title) == ("100y", "hivemq", "main")


@pytest.mark.parametrize("number", ["1_080", "1080.0", "+1080"])
def test_numbers_as_yaml_writes_them(tmp_path: Path, number: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(GOOD.replace("1080", number))
    assert load_studio(path).furnaces[0].low == 1080


def models(model: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], type[BaseModel]]]:
    found = [(prefix, model)]
    for name, info in model.model_fields.items():
        found += [m for part in _models_in(info.annotation) for m in models(part, (*prefix, name))]
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def test_every_required_field_has_a_placeholder_that_fits() -> None:
    required = {n for _, m in models(Studio) for n, info in m.model_fields.items() if info.is_required()}
    assert required - {"id"} == set(PLACEHOLDERS)
    Studio.model_validate({"name": PLACEHOLDERS["name"], "furnaces": PLACEHOLDERS["furnaces"]}, strict=True)


@pytest.mark.parametrize(("old", "new"), sorted(RENAMED.items()))
def test_a_renamed_key_is_gone_and_its_successor_is_there(old: str, new: str) -> None:
    def path(key: str) -> tuple[str | int, ...]:
        return tuple("shop" if key.startswith("alerts.") and s == "*" else 0 if s == "*" else s for s in key.split("."))

    assert field_at(path(old)) is None
    assert field_at(path(new)) is not None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_end_in_anything_but_a_message(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "x.yaml"
    path.write_bytes(content)
    assert problems(path).startswith("x.yaml:")


WORDS = [
    "name",
    "furnaces",
    "host",
    "alerts",
    "shop",
    "id",
    "low",
    "high",
    "ports",
    "mqtt",
    "unit",
    "x",
    "topics",
    "flame",
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*WORDS, *Studio.model_fields]), VALUES, max_size=8))
def test_no_yaml_ends_in_anything_but_a_studio_or_a_message(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "x.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True))
    with contextlib.suppress(InventoryError):
        assert load_studio(path).furnaces
