"""The catalog: what it holds, which names it answers to, and which files it refuses."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from model_presets.catalog import BUILT_IN, UnknownPreset, load_catalog, read_preset
from model_presets.preset import InvalidPreset, Preset, parse_preset

CATALOG = load_catalog()
EXAMPLE: dict[str, Any] = yaml.safe_load((BUILT_IN / "mistral-7b-instruct.yaml").read_text())
NAMES = (
    "mistral-7b",
    "mistral-7b-instruct",
    "mistral-7b-instruct-v0.2",
    "mixtral-8x7b",
    "mixtral-8x7b-instruct",
    "tiny-mistral",
    "tiny-mixtral",
)
HERE = Path("preset.yaml")


def test_the_proposals_model_stands_as_proposed() -> None:
    preset = CATALOG.get("mistral-7b-instruct")
    assert preset.family == "mistral"
    assert preset.task == "text-generation"
    assert preset.repo == "mistralai/Mistral-7B-Instruct-v0.1"
    assert preset.revision == "9ab9e76e2b09f9f29ea2d56aa5bd139e4445c59e"
    assert preset.license == "Apache-2.0"
    assert preset.runtime == "transformers"
    assert preset.dtype == "bfloat16"
    assert (preset.gpu_count, preset.gpu_memory_gib, preset.disk_gib) == (1, 16, 50)
    assert not preset.distributed
    assert preset.kv_bytes_per_token == 131_072
    assert preset.weight_bytes == 14_483_464_192


def test_all_presets_are_there() -> None:
    assert CATALOG.names() == NAMES
    assert [preset.name for preset in CATALOG] == list(CATALOG.names())
    assert len(CATALOG) == len(NAMES)


@pytest.mark.parametrize("preset", list(CATALOG), ids=lambda preset: preset.name)
def test_file_name_is_the_presets_name_and_repeats_nothing(preset: Preset) -> None:
    assert read_preset(BUILT_IN / f"{preset.name}.yaml") == preset
    assert len({name.lower() for name in preset.names}) == len(preset.names)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("mistral-7b-instruct", "mistral-7b-instruct"),
        ("Mistral-7B-Instruct", "mistral-7b-instruct"),
        ("mistral-7b-instruct-v0.1", "mistral-7b-instruct"),
        ("mistralai/Mistral-7B-Instruct-v0.1", "mistral-7b-instruct"),
        ("mistralai/mistral-7b-instruct-v0.1", "mistral-7b-instruct"),
        ("mistralai/Mistral-7B-v0.1", "mistral-7b"),
        ("mistralai/MISTRAL-7b-instruct-v0.2", "mistral-7b-instruct-v0.2"),
        ("mistralai/Mixtral-8x7B-v0.1", "mixtral-8x7b"),
        ("Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b-instruct"),
        (" tiny-mistral ", "tiny-mistral"),
    ],
)
def test_a_model_answers_to_name_alias_and_hub_id_in_any_case(asked: str, meant: str) -> None:
    assert CATALOG.get(asked).name == meant


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("mistral-7b-instuct", "mistral-7b-instruct"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral-7b-instruct-v0.2"),
        ("tiny", None),
        ("falcon-40b", None),
        ("", None),
    ],
)
def test_an_unknown_name_is_answered_with_its_neighbours(asked: str, nearest: str | None) -> None:
    with pytest.raises(UnknownPreset) as caught:
        CATALOG.get(asked)
    assert caught.value.name == asked
    assert (caught.value.nearest or (None,))[0] == nearest
    assert repr(asked) in str(caught.value)


def test_every_key_is_documented() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")
    assert {field.name for field in fields(Preset) if f"`{field.name}`" not in manual} == set()
    assert [name for name in CATALOG.names() if f"| `{name}` |" not in manual] == []


def test_a_preset_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        CATALOG.get("mistral-7b").revision = "main"  # type: ignore[misc] # the point of the test


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"revison": "x"}, "revison", "unknown key"),
        ({"revision": "9ab9e76"}, "revision", "40 lower-case hexadecimal digits"),
        ({"revision": "main"}, "revision", "40 lower-case hexadecimal digits"),
        ({"revision": EXAMPLE["revision"].upper()}, "revision", "40 lower-case"),
        ({"revision": 12345}, "revision", "in quotes"),
        ({"revision": None}, "revision", "expected a text"),
        ({"gpu_count": True}, "gpu_count", "expected a whole number, got bool"),
        ({"gpu_count": "1"}, "gpu_count", "expected a whole number, got str"),
        ({"gpu_count": -1}, "gpu_count", "must be 0 (CPU) or above"),
        ({"gpu_memory_gib": 0}, "gpu_memory_gib", "above 0 with GPUs"),
        ({"gpu_count": 0}, "gpu_memory_gib", "0 without"),
        ({"layers": 0}, "layers", "above 0"),
        ({"kv_heads": 5}, "kv_heads", "must divide heads"),
        ({"weight_bytes": 1}, "weight_bytes", "parameters x bytes"),
        ({"dtype": "int3"}, "dtype", "use one of"),
        ({"name": "Mistral 7B"}, "name", "lower-case"),
        ({"repo": "mistral"}, "repo", "owner/name"),
        ({"aliases": "one"}, "aliases", "a list of texts"),
        ({"aliases": [1]}, "aliases", "a list of texts"),
        ({"sliding_window": 0}, "sliding_window", "between 1 and context_length"),
        ({"sliding_window": 9000}, "sliding_window", "between 1 and context_length"),
        ({"seed": 3}, "seed", "revision is the seed"),
        ({"experts": 8}, "experts", "together, or neither"),
        ({"experts_per_token": 2}, "experts", "together, or neither"),
        ({"experts": 2, "experts_per_token": 3}, "experts_per_token", "between 1 and experts"),
    ],
)
def test_a_wrong_value_is_refused_with_file_key_value_and_remedy(
    changes: dict[str, Any], key: str, words: str
) -> None:
    with pytest.raises(InvalidPreset) as caught:
        parse_preset({**EXAMPLE, **changes}, HERE)
    value = changes.get(key, EXAMPLE.get(key))
    assert (caught.value.origin, caught.value.key, caught.value.value) == (HERE, key, value)
    assert words in caught.value.remedy
    assert str(caught.value).startswith(f"preset.yaml: {key}: ")


@pytest.mark.parametrize("key", sorted(EXAMPLE.keys() - {"chat_template", "sliding_window"}))
def test_a_missing_key_is_named(key: str) -> None:
    rest = {name: value for name, value in EXAMPLE.items() if name != key}
    with pytest.raises(InvalidPreset, match=f"{key}: None: missing"):
        parse_preset(rest, HERE)


@given(
    st.one_of(st.none(), st.text(), st.lists(st.integers()), st.dictionaries(st.text(), st.text()))
)
def test_nothing_else_is_taken_for_a_preset(raw: object) -> None:
    with pytest.raises(InvalidPreset):
        parse_preset(raw, HERE)


@given(
    st.sampled_from(sorted(EXAMPLE)), st.one_of(st.none(), st.text(), st.integers(), st.booleans())
)
def test_any_single_change_gives_a_preset_or_a_named_fault(key: str, value: object) -> None:
    try:
        preset = parse_preset({**EXAMPLE, key: value}, HERE)
    except InvalidPreset as error:
        assert error.remedy  # noqa: PT017 - either outcome is right
    else:
        assert getattr(preset, key) == value


def extra(folder: Path, **changes: object) -> Path:
    name = str(changes.get("name", "own-model"))
    own = {**EXAMPLE, "name": name, "aliases": [], "repo": f"own/{name}", **changes}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(own))
    return folder


def test_a_chat_template_may_be_a_file_beside_the_preset_or_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text("{{ messages }}\n")
    extra(tmp_path, name="one", chat_template="own.jinja")
    catalog = load_catalog(extra(tmp_path, name="two", chat_template="mistral-v1.jinja"))
    assert catalog.get("one").chat_template == "{{ messages }}"
    assert catalog.get("two").chat_template == CATALOG.get("tiny-mistral").chat_template


@pytest.mark.parametrize("name", ["no-such.jinja", "../own.jinja", "/etc/own.jinja"])
def test_a_chat_template_that_is_no_file_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "own.jinja").write_text("{{ messages }}")
    with pytest.raises(InvalidPreset, match=r"mistral-v1\.jinja") as caught:
        load_catalog(extra(tmp_path, chat_template=name))
    assert caught.value.key == "chat_template"


def test_an_extra_folder_adds_presets(tmp_path: Path) -> None:
    catalog = load_catalog(extra(tmp_path))
    assert catalog.get("OWN-model").repo == "own/own-model"
    assert len(catalog) == len(CATALOG) + 1


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "mistral-7b"},
        {"aliases": ["Tiny-Mistral"]},
        {"repo": "mistralai/MISTRAL-7B-v0.1"},
    ],
)
def test_two_presets_never_answer_to_one_name(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidPreset, match="already means preset") as caught:
        load_catalog(extra(tmp_path, **changes))
    assert caught.value.key == next(iter(changes))


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotADirectoryError, match="no-such"):
        load_catalog(tmp_path / "no-such")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"name: [", "mend the YAML"),
        (b"name: a\nname: b\n", "stands more than once"),
        (b"\xff\xfe\xfa", "UTF-8"),
        (b"- a\n- b\n", "one mapping"),
        (b"name: !!python/object/apply:os.getcwd []\n", "mend the YAML"),
    ],
)
def test_a_file_that_is_no_clean_yaml_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidPreset, match=r"broken\.yaml") as caught:
        read_preset(path)
    assert words in str(caught.value)
