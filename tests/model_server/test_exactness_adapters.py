"""
Adapters answer as peft's own model does, token for token, in float32: alone, beside others and
beside requests without one, cut, preempted, cached, weakened or merged.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from model_server.adapter_choice import AdapterChoice
from model_server.compute.adapter_files import AdapterCheckpoint
from model_server.compute.checkpoint import Checkpoint
from model_server.compute.lora import merge
from model_server.compute.model import SMALL_MODEL_BYTES, LoadedModel
from model_server.compute.packed_linear import can_pack
from model_server.compute.reference_runner import ReferenceRunner
from model_server.engine.request import Request

from tests.model_server.tiny_adapters import (
    ignore,
    make_adapter,
    merged,
    peft_answers,
    peft_model,
    read,
    save_base,
    with_adapters,
)
from tests.model_server.tiny_models import (
    Driver,
    generate,
    mistral,
    mixtral,
    native,
    prompts,
    request,
)

pytestmark = [
    pytest.mark.timeout(240),  # peft is imported
    # peft 0.21 asks transformers 5.23 by names that are to go in version 6.
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
]

WINDOW = 32
COUNT = 24
LENGTHS = (1, 3, WINDOW - 1, WINDOW, WINDOW + 1, 70)
PROMPTS = prompts(*LENGTHS)
NAMES = ("", "attention", "all", "uneven")
SHAPES: dict[str, dict[str, Any]] = {
    "attention": {"target_modules": ["q_proj", "v_proj"], "r": 8, "use_rslora": True},
    "all": {},
    "uneven": {
        "target_modules": ["k_proj", "o_proj", "layers.1.mlp.down_proj"],
        "rank_pattern": {"o_proj": 2},
        "alpha_pattern": {"layers.0.self_attn.k_proj": 11},
    },
}


@dataclass(frozen=True, kw_only=True)
class World:
    base: LoadedModel
    checkpoint: Checkpoint
    folders: dict[str, Path]
    expected: dict[str, list[list[int]]]  # by adapter, for each prompt

    def read(self, **strengths: float) -> tuple[AdapterCheckpoint, ...]:
        return read(
            self.checkpoint,
            *(
                AdapterChoice(name=name, directory=folder, strength=strengths.get(name, 1.0))
                for name, folder in self.folders.items()
            ),
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("adapters")
    base = mistral(sliding_window=WINDOW)
    checkpoint = save_base(base, folder / "base")
    folders = {
        name: make_adapter(base, folder / name, seed, **shape)
        for seed, (name, shape) in enumerate(SHAPES.items())
    }
    expected = {
        name: peft_answers(peft_model(base, path), PROMPTS, COUNT) for name, path in folders.items()
    }
    expected[""] = [generate(base, prompt, COUNT) for prompt in PROMPTS]
    # Each answers in its own way, or the comparison would compare nothing.
    assert len({str(answers) for answers in expected.values()}) == len(NAMES)
    return World(base=base, checkpoint=checkpoint, folders=folders, expected=expected)


@pytest.fixture(scope="module")
def model(world: World) -> LoadedModel:
    return with_adapters(world.base, world.read())


def asked(name: str, adapter: str, number: int) -> Request:
    return replace(request(name, PROMPTS[number], COUNT), adapter=adapter)


def everyone() -> list[Request]:
    """Ask every adapter, and the base, every prompt, in mixed order."""
    return [
        asked(f"{adapter}/{number}", adapter, number)
        for number in range(len(PROMPTS))
        for adapter in NAMES
    ]


def expected_of(world: World) -> dict[str, list[int]]:
    return {
        f"{adapter}/{number}": world.expected[adapter][number]
        for number in range(len(PROMPTS))
        for adapter in NAMES
    }


def test_one_at_a_time(world: World, model: LoadedModel) -> None:
    driver = Driver(native(model), max_sequences=1, max_batch_tokens=100)
    assert driver.run(everyone()) == expected_of(world)


@pytest.mark.parametrize(("block_size", "max_batch_tokens"), [(5, 25), (16, 40), (64, 500)])
def test_all_together_with_prompts_cut_anywhere(
    world: World, model: LoadedModel, block_size: int, max_batch_tokens: int
) -> None:
    runner = native(model, block_size=block_size, block_count=4000 // block_size)
    driver = Driver(runner, max_sequences=24, max_batch_tokens=max_batch_tokens)
    assert driver.run(everyone()) == expected_of(world)


@pytest.mark.skipif(not can_pack(), reason="this build of torch has no oneDNN")
def test_beside_packed_weights(world: World) -> None:
    """What modules did as hooks, products do; and nobody can merge into what is packed."""
    adapters = world.read()
    hung = replace(with_adapters(world.base, adapters), weight_bytes=SMALL_MODEL_BYTES)
    driver = Driver(native(hung), max_sequences=24, max_batch_tokens=40)
    assert driver.run(everyone()) == expected_of(world)
    with pytest.raises(AttributeError, match="weight"):
        merge(hung.module, adapters, ignore)


def test_late_preempted_and_resumed(world: World, model: LoadedModel) -> None:
    driver = Driver(native(model, block_size=4, block_count=60), max_batch_tokens=40)
    for one in everyone():
        driver.scheduler.add(one)
        driver.step()
    assert driver.run() == expected_of(world)
    assert driver.scheduler.preemptions > 0


def test_a_prefix_is_found_by_the_same_adapter_only(world: World, model: LoadedModel) -> None:
    driver = Driver(native(model, block_size=4), max_batch_tokens=200)
    last = len(PROMPTS) - 1
    for round_number, found in enumerate((0, 4 * 68)):
        for adapter in NAMES:
            name = f"{adapter} {round_number}"
            assert driver.run([asked(name, adapter, last)])[name] == world.expected[adapter][last]
        assert driver.scheduler.prefix_tokens_found == found


def test_the_reference_runner(world: World, model: LoadedModel) -> None:
    runner = ReferenceRunner(model, max_model_len=512)
    driver = Driver(runner, max_sequences=1, max_batch_tokens=513)
    assert driver.run(everyone()) == expected_of(world)


def test_sampled_answers_do_not_depend_on_the_batch(model: LoadedModel) -> None:
    drawn = [
        replace(
            request(f"{adapter}/{number}", PROMPTS[number], 12, temperature=0.8, seed=number),
            adapter=adapter,
        )
        for number in range(len(PROMPTS))
        for adapter in NAMES
    ]
    alone = Driver(native(model), max_sequences=1).run(drawn)
    assert Driver(native(model, block_size=4), max_sequences=24).run(drawn) == alone


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_a_weaker_adapter_is_pefts_scaled_one(world: World, strength: float) -> None:
    model = with_adapters(world.base, world.read(all=strength))
    driver = Driver(native(model), max_sequences=24)
    answers = driver.run(everyone())
    scaled = peft_answers(peft_model(world.base, world.folders["all"], strength), PROMPTS, COUNT)
    assert scaled != world.expected["all"]
    assert (scaled == world.expected[""]) == (strength == 0)
    assert [answers[f"all/{number}"] for number in range(len(PROMPTS))] == scaled
    assert [answers[f"uneven/{n}"] for n in range(len(PROMPTS))] == world.expected["uneven"]


def test_one_merged_adapter_is_pefts_merge(world: World) -> None:
    (adapter,) = (a for a in world.read(all=0.5) if a.name == "all")
    ours = merged(world.base, [adapter])
    theirs: Any = peft_model(world.base, world.folders["all"], 0.5).module
    compare_weights(ours, theirs.merge_and_unload())


def test_several_merged_adapters_are_pefts_sum(world: World) -> None:
    ours = merged(world.base, world.read(all=0.5, uneven=0.25))
    theirs: Any = peft_model(world.base, world.folders["attention"]).module
    for name in ("all", "uneven"):
        theirs.load_adapter(str(world.folders[name]), name)
    scalings = [
        s for layer in theirs.modules() if isinstance(s := vars(layer).get("scaling"), dict)
    ]
    for scaling in scalings:
        for name, strength in (("all", 0.5), ("uneven", 0.25)):
            scaling[name] = scaling.get(name, 0) * strength
    plain = theirs.merge_and_unload(adapter_names=["default", "all", "uneven"])
    compare_weights(ours, plain)
    answers = Driver(native(ours)).run([request("a", PROMPTS[3], COUNT)])
    assert answers["a"] == peft_answers(replace(ours, module=plain), PROMPTS[3:4], COUNT)[0]
    assert answers["a"] not in [answers[3] for answers in world.expected.values()]
    packed = native(replace(ours, weight_bytes=SMALL_MODEL_BYTES if can_pack() else 0))
    assert Driver(packed).run([request("a", PROMPTS[3], COUNT)]) == answers


def compare_weights(ours: LoadedModel, theirs: Any) -> None:  # noqa: ANN401 - transformers' model
    wanted = theirs.state_dict()
    state: dict[str, torch.Tensor] = ours.module.state_dict()
    assert state.keys() == wanted.keys()
    for name, tensor in state.items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-6, atol=1e-6)


def test_a_mixture_of_experts_has_adapters_at_its_attention(tmp_path: Path) -> None:
    base = mixtral()
    checkpoint = save_base(base, tmp_path / "base")
    folder = make_adapter(base, tmp_path / "a", 1, target_modules=["q_proj", "o_proj"])
    wanted = peft_answers(peft_model(base, folder), PROMPTS, 12)
    (adapter,) = read(checkpoint, AdapterChoice(name="a", directory=folder))
    assert adapter.modules[0] == "model.layers.0.self_attn.o_proj"
    driver = Driver(native(with_adapters(base, [adapter])))
    answers = driver.run(
        [replace(request(str(n), p, 12), adapter="a") for n, p in enumerate(PROMPTS)]
        + [request("base", PROMPTS[2], 12)]
    )
    assert [answers[str(n)] for n in range(len(PROMPTS))] == wanted
    assert answers["base"] == generate(base, PROMPTS[2], 12) != wanted[2]
