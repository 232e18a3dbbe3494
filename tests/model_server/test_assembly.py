"""
In which order a model is put together: all that stays on the device, then the cache.

On a GPU the cache takes what is left of the card. An adapter that came later would find no room.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from model_server import assembly
from model_server.adapter_choice import AdapterChoice
from model_server.api.lifecycle import Lifecycle, Readiness
from model_server.compute.cache_size import open_native_runner
from model_server.compute.model import LoadedModel, load_model
from model_server.compute.runner import NativeRunner
from model_server.settings import Settings
from model_server.startup import find_preset, identity_of, load, names_of
from torch import Tensor

from tests.model_server.tiny_adapters import make_adapter

pytestmark = [
    pytest.mark.timeout(240),  # peft and torch are imported
    # peft 0.21 asks transformers 5.23 by names that are to go in version 6.
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
]

NAMES = ("first", "second")


@dataclass(kw_only=True)
class Sizing:
    """Stands before `open_native_runner` and notes what there is when the cache is sized."""

    lifecycle: Lifecycle
    open: Any = field(default=open_native_runner)
    now: Readiness | None = None
    adapters: frozenset[str] = frozenset()
    weight: Tensor | None = None

    def __call__(self, model: LoadedModel, **limits: Any) -> NativeRunner:  # noqa: ANN401 - passed on
        assert self.now is None, "sized twice"
        self.now = self.lifecycle.now()
        self.adapters = model.adapters.names if model.adapters else frozenset()
        self.weight = query(model).clone()
        runner: NativeRunner = self.open(model, **limits)
        return runner


def query(model: LoadedModel) -> Tensor:
    """Return the weights of the first layer's queries: (out, in)."""
    return model.module.get_parameter("model.layers.0.self_attn.q_proj.weight").detach()


@pytest.fixture(scope="module")
def base(tiny_weights: Path) -> LoadedModel:
    model = load_model(tiny_weights, device="cpu", dtype="auto", progress=lambda *_: None)
    model.module.name_or_path = str(tiny_weights)  # where peft looks for the base's config
    return model


@pytest.fixture(scope="module")
def adapters(
    base: LoadedModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AdapterChoice, ...]:
    folder = tmp_path_factory.mktemp("adapters")
    return tuple(
        AdapterChoice(name=name, directory=make_adapter(base, folder / name, seed))
        for seed, name in enumerate(NAMES)
    )


@pytest.mark.parametrize("is_merged", [False, True], ids=["beside", "merged"])
def test_adapters_are_there_before_the_cache_is_sized(
    tiny_weights: Path,
    base: LoadedModel,
    adapters: tuple[AdapterChoice, ...],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_merged: bool,
) -> None:
    settings = Settings(
        model=tiny_weights,
        preset="tiny-mistral",
        device="cpu",
        adapters=adapters,
        merge_adapters=is_merged,
    )
    preset = find_preset(settings)
    lifecycle = Lifecycle(identity_of(names_of(settings, preset)))
    sizing = Sizing(lifecycle=lifecycle)
    monkeypatch.setattr(assembly, "open_native_runner", sizing)
    load(settings, preset, lifecycle)

    stored = sum(path.stat().st_size for path in tiny_weights.glob("*.safetensors"))
    assert sizing.now is not None
    assert sizing.now.bytes_loaded == sizing.now.bytes_total == lifecycle.now().bytes_total
    assert sizing.now.bytes_total > stored
    assert sizing.adapters == (frozenset() if is_merged else frozenset(NAMES))
    assert sizing.weight is not None
    assert bool((sizing.weight != query(base)).any()) is is_merged
