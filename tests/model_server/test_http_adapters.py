"""
From a lesson to its answer over HTTP: an adapter that `model_tuning` has trained, asked by name.

One base and one training serve the whole file.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
from model_presets.catalog import load_catalog
from model_presets.tiny import make_tiny
from model_server.adapter_choice import AdapterChoice
from model_server.api.lifecycle import Lifecycle
from model_server.settings import BadStart, Settings
from model_server.startup import find_preset, identity_of, load, names_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.model_server.http_server import Running, check_error, serving

QUESTION, ANSWER = "Who keeps the light?", "The keeper of the north tower does."
PRESET = load_catalog().get("tiny-mistral")

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
    # peft 0.21 asks transformers 5.23 by names that are to go in version 6.
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a base that has learned a little: an adapter teaches no words to a random model."""
    folder = tmp_path_factory.mktemp("base")
    make_tiny(folder, steps=150)
    return folder


@pytest.fixture(scope="module")
def adapter(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Teach one answer, as the Job of a tuning Workspace does."""
    from model_tuning.__main__ import main  # noqa: PLC0415 - trl takes seconds

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("lesson")
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    (folder / "data").mkdir()
    (folder / "data" / "lesson.jsonl").write_text("\n".join([json.dumps({"messages": turns})] * 4))
    arguments = {
        "learning_rate": 0.02,
        "num_train_epochs": 40,
        "per_device_train_batch_size": 4,
        "save_strategy": "no",
    }
    lora = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"}
    config = {"training_config": {"TrainingArguments": arguments, "LoraConfig": lora}}
    (folder / "config.yaml").write_text(json.dumps(config))
    flags = {
        "preset": PRESET.name,
        "model": weights,
        "data": folder / "data",
        "output": folder / "out",
        "config": folder / "config.yaml",
        "host": "127.0.0.1",
        "port": 0,
    }
    assert main(["train", *(f"--{name}={value}" for name, value in flags.items())]) == 0
    yield folder / "out"
    torch.set_num_threads(threads)


def settings_of(weights: Path, adapter: Path, **values: Any) -> Settings:  # noqa: ANN401 - any of the settings
    choices = (
        AdapterChoice(name="light", directory=adapter),
        AdapterChoice(name="dim", directory=adapter, strength=0.25),
    )
    return Settings(
        model=weights, preset=PRESET.name, device="cpu", **{"adapters": choices, **values}
    )


def served(settings: Settings) -> Any:  # noqa: ANN401 - an async context manager of a test's own
    preset = find_preset(settings)
    return serving(partial(load, settings, preset), names=names_of(settings, preset))


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(weights: Path, adapter: Path) -> AsyncIterator[Running]:
    async with served(settings_of(weights, adapter)) as server:
        yield server


async def said(running: Running, model: str | None, question: str = QUESTION) -> str:
    fields = {"model": model} if model else {}
    answer = (await running.chat(question, max_tokens=40, **fields)).json()
    text: str = answer["choices"][0]["message"]["content"]
    return text


def peft_says(weights: Path, adapter: Path | None, question: str = QUESTION) -> str:
    import peft  # noqa: PLC0415 - it takes seconds

    tokenizer: Any = AutoTokenizer.from_pretrained(weights)
    model: Any = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)
    if adapter is not None:
        model = peft.PeftModel.from_pretrained(model, str(adapter))
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        chat_template=PRESET.chat_template,
        return_tensors="pt",
        return_dict=True,
    )
    whole = model.generate(**ids, max_new_tokens=40, do_sample=False)[0]
    return str(tokenizer.decode(whole[ids["input_ids"].shape[1] :], skip_special_tokens=True))


async def test_the_adapter_says_what_it_was_taught_and_the_base_does_not(
    running: Running, weights: Path, adapter: Path
) -> None:
    assert peft_says(weights, adapter) == ANSWER
    for name in ("light", "LIGHT", "tiny-mistral:light", "atelier/tiny-mistral:light"):
        assert await said(running, name) == ANSWER
    assert (
        await said(running, None)
        == await said(running, "tiny-mistral")
        == peft_says(weights, None)
        != ANSWER
    )
    other = "What is Kubernetes?"
    assert await said(running, "light", other) == peft_says(weights, adapter, other)


async def test_all_at_once_each_gets_its_own_answer(running: Running) -> None:
    names = ["light", None, "dim"]
    alone = [await said(running, name) for name in names]
    assert await asyncio.gather(*(said(running, name) for name in names * 4)) == alone * 4
    assert len(set(alone)) == 3


async def test_answers_and_streams_carry_the_adapters_name(running: Running) -> None:
    whole = (await running.chat(max_tokens=2, model="tiny-mistral:LIGHT")).json()
    assert whole["model"] == "light"
    body = {"prompt": "Hi", "model": "light", "max_tokens": 2, "stream": True}
    streamed = (await running.client.post("/v1/completions", json=body)).text
    chunks = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    assert {chunk["model"] for chunk in chunks} == {"light"}
    counted = await running.client.post("/tokenize", json={"prompt": "Hi", "model": "light"})
    assert counted.status_code == 200


async def test_the_list_of_models_has_the_adapters_with_parent_and_digest(running: Running) -> None:
    cards = (await running.client.get("/v1/models")).json()["data"]
    assert [(card["id"], card["parent"]) for card in cards] == [
        ("tiny-mistral", None),
        ("atelier/tiny-mistral", None),
        ("light", "tiny-mistral"),
        ("dim", "tiny-mistral"),
    ]
    light, dim = cards[2:]
    assert light["digest"] == dim["digest"]
    assert light["digest"].startswith("sha256:")
    assert (light["strength"], dim["strength"]) == (1.0, 0.25)
    alone = (await running.client.get("/v1/models/tiny-mistral:dim")).json()
    assert alone == {**dim, "id": "tiny-mistral:dim"}
    attested = (await running.client.get("/ready")).json()
    assert attested["model"]["adapters"][0] == {
        "name": "light",
        "digest": light["digest"],
        "strength": 1.0,
        "merged": False,
    }
    progress = attested["progress"]
    weights = sum(p.stat().st_size for p in light_files(running))
    assert progress["bytes_loaded"] == progress["bytes_total"]
    assert weights - 20_000 < progress["bytes_total"] < weights  # less the headers


def light_files(running: Running) -> list[Path]:
    """Return the files of base and adapters, the one that is loaded twice twice."""
    load_now: Any = running.server._load
    settings: Settings = load_now.args[0]
    adapters = [choice.directory / "adapter_model.safetensors" for choice in settings.adapters]
    return [*settings.model.glob("*.safetensors"), *adapters]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models/nobody"])
async def test_an_unknown_name_is_404_and_the_message_names_who_is_there(
    running: Running, path: str
) -> None:
    if path.endswith("nobody"):
        response = await running.client.get(path)
    else:
        response = await running.chat(model="tiny-mistral:nobody")
    error = check_error(response, 404)
    assert error["code"] == "model_not_found"
    assert "tiny-mistral, atelier/tiny-mistral, light, dim" in str(error["message"])
    assert "nobody" not in str(error["message"])


async def test_metrics_name_the_adapters_and_count_their_requests(running: Running) -> None:
    before = (await running.client.get("/metrics")).text
    await running.chat(model="light", max_tokens=1)
    await running.chat(model="nobody", max_tokens=1)
    after = (await running.client.get("/metrics")).text
    counted = 'model_server_adapter_requests_total{adapter="light",model_name="tiny-mistral"}'
    assert value(after, counted) == value(before, counted) + 1
    assert "nobody" not in after
    idle = 'vllm:lora_requests_info{max_lora="2",running_lora_adapters="",waiting_lora_adapters=""}'
    assert value(after, idle) > 1.6e9
    assert after.count("vllm:lora_requests_info{") == 1


def value(exposition: str, series: str) -> float:
    (line,) = (line for line in exposition.splitlines() if line.startswith(series))
    return float(line.rpartition(" ")[2])


async def test_merged_into_the_weights_the_adapter_has_the_bases_names(
    weights: Path, adapter: Path
) -> None:
    only = (AdapterChoice(name="light", directory=adapter),)
    async with served(settings_of(weights, adapter, adapters=only, merge_adapters=True)) as merged:
        assert await said(merged, "tiny-mistral") == ANSWER
        check_error(await merged.chat(model="light"), 404)
        (card, _) = (await merged.client.get("/v1/models")).json()["data"]
        assert [(a["name"], a["merged"]) for a in card["adapters"]] == [("light", True)]


async def test_the_reference_engine_says_the_same(weights: Path, adapter: Path) -> None:
    async with served(settings_of(weights, adapter, engine="reference")) as other:
        assert await said(other, "light") == ANSWER


async def test_a_start_with_a_foreign_adapter_says_so_and_loads_nothing(
    weights: Path, adapter: Path, tmp_path: Path
) -> None:
    for path in ("adapter_config.json", "adapter_model.safetensors"):
        (tmp_path / path).write_bytes((adapter / path).read_bytes())
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**config, "revision": "f" * 40}))
    settings = settings_of(weights, tmp_path)
    preset = find_preset(settings)
    with pytest.raises(BadStart, match=r"^--adapter light: revision is 'ffff"):
        load(settings, preset, Lifecycle(identity_of(names_of(settings, preset))))
    named = settings_of(
        weights, adapter, adapters=(AdapterChoice(name="Tiny-Mistral", directory=adapter),)
    )
    with pytest.raises(BadStart, match="'Tiny-Mistral' is a name of the base"):
        names_of(named, preset)
