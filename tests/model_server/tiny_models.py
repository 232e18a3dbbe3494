"""
Small random models, and the three ways to continue a prompt that must agree.

The weights are drawn wide (0.15), so that a wrong mask or position changes tokens at once instead
of drowning in the rounding of an almost constant model.
"""

from collections.abc import Sequence
from typing import Any

import torch
from model_server.compute.forward import choose_path
from model_server.compute.model import LoadedModel
from model_server.compute.runner import CacheSize, NativeRunner
from model_server.engine.batch import Batch, Runner
from model_server.engine.request import Request, SamplingParameters, TokenOutput
from model_server.engine.scheduler import Scheduler, SchedulerLimits
from model_server.settings import FAST_PATHS, FastPaths
from transformers import MistralConfig, MistralForCausalLM, MixtralConfig, MixtralForCausalLM

torch.set_num_threads(1)  # the models are too small to be worth a second one

VOCABULARY = 500
NEAR_ROWS, NEAR_CELLS = 5, 64
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 1024,
    "initializer_range": 0.15,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def mistral(sliding_window: int | None = None, device: str = "cpu") -> LoadedModel:
    torch.manual_seed(0)
    config = MistralConfig(**SHAPE, sliding_window=sliding_window)
    return loaded(MistralForCausalLM(config), sliding_window, device)


def mixtral(device: str = "cpu") -> LoadedModel:
    torch.manual_seed(0)
    experts: dict[str, Any] = {"num_local_experts": 4, "num_experts_per_tok": 2}
    config = MixtralConfig(**SHAPE, **experts, sliding_window=None)
    return loaded(MixtralForCausalLM(config), None, device)


def loaded(
    module: MistralForCausalLM | MixtralForCausalLM,
    sliding_window: int | None,
    device: str,
    dtype: torch.dtype = torch.float32,
) -> LoadedModel:
    torch.nn.Module.to(module, device).train(mode=False)  # transformers' own are not typed
    return LoadedModel(
        module=module,
        device=torch.device(device),
        dtype=dtype,
        vocabulary_size=VOCABULARY,
        context_length=SHAPE["max_position_embeddings"],
        sliding_window=sliding_window,
        eos_token_ids=frozenset(),
        weight_bytes=0,
    )


def prompts(*lengths: int) -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(1)
    return [
        tuple(torch.randint(3, VOCABULARY, (length,), generator=generator).tolist())
        for length in lengths
    ]


def request(name: str, prompt: tuple[int, ...], max_tokens: int, **sampling: object) -> Request:
    values: dict[str, Any] = {"temperature": 0, "seed": 0, **sampling}
    parameters = SamplingParameters(max_tokens=max_tokens, **values)
    return Request(request_id=name, prompt_ids=prompt, sampling=parameters)


def generate(model: LoadedModel, prompt: tuple[int, ...], count: int) -> list[int]:
    """Continue greedily with transformers' own loop, cache and attention."""
    module: Any = model.module
    module.set_attn_implementation("eager")
    ids = torch.tensor([prompt], device=model.device)
    with torch.inference_mode():
        answer = module.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
    tokens: list[int] = answer[0, len(prompt) :].tolist()
    return tokens


class Driver:
    """Run a scheduler and a runner in step, without threads."""

    def __init__(
        self, runner: Runner, *, max_sequences: int = 16, max_batch_tokens: int = 64
    ) -> None:
        self.runner = runner
        self.scheduler = Scheduler(
            SchedulerLimits(
                max_sequences=max_sequences,
                max_batch_tokens=max_batch_tokens,
                max_model_len=runner.max_model_len,
                block_size=runner.block_size,
                block_count=runner.block_count,
                sliding_window=runner.sliding_window,
                eos_token_ids=frozenset(),
            )
        )
        self.answers: dict[str, list[int]] = {}
        self.outputs: dict[str, list[TokenOutput]] = {}

    def step(self) -> Batch | None:
        batch = self.scheduler.schedule()
        if batch is not None:
            for output in self.scheduler.update(batch, self.runner.step(batch)):
                self.answers.setdefault(output.request_id, []).extend(output.token_ids)
                self.outputs.setdefault(output.request_id, []).append(output)
        return batch

    def run(self, requests: Sequence[Request] = ()) -> dict[str, list[int]]:
        for asked in requests:
            self.scheduler.add(asked)
        while self.step() is not None:
            pass
        return self.answers


def native(
    model: LoadedModel,
    *,
    block_size: int = 16,
    block_count: int = 400,
    max_model_len: int = 512,
    fast_paths: FastPaths = FAST_PATHS,
) -> NativeRunner:
    # Fewer rows than sequences, and without a window shorter ones than the longest need: some are
    # read near by, some from their blocks, some first so and then so.
    cells = model.sliding_window or NEAR_CELLS
    cache = CacheSize(
        block_size=block_size, block_count=block_count, near_rows=NEAR_ROWS, near_cells=cells
    )
    path = choose_path(model, fast_paths)
    return NativeRunner(model, cache, max_model_len=max_model_len, path=path)
