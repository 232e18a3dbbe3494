"""
Compute steps with transformers' own `generate`, one sequence at a time.

This is the oracle that the native runner is tested against, and a way out when it is suspected:
slow, and nothing in it is ours but the drawing of tokens. It keeps no blocks; the scheduler is
given one sequence and steps large enough for any prompt.
"""

from typing import Any

import torch
from transformers import Cache, DynamicCache

from model_server.compute.adjust import Draw
from model_server.compute.device_faults import device_faults
from model_server.compute.lora import Segment
from model_server.compute.model import LoadedModel
from model_server.compute.sampling import sample
from model_server.engine.batch import Batch, Drawn, Failed
from model_server.engine.request import require

ONE_TOKEN = {
    "max_new_tokens": 1,
    "do_sample": False,  # its choice is not used: tokens are drawn from the logits, as everywhere
    "output_logits": True,
    "return_dict_in_generate": True,
    "pad_token_id": 0,
}


class ReferenceRunner:
    """
    Follow the Runner protocol with `generate`.

    The engine's limits must be one sequence, and steps of more tokens than max_model_len.
    """

    block_count = 1

    def __init__(self, model: LoadedModel, *, max_model_len: int) -> None:
        """
        Take the model over.

        Raises:
            InvalidRequest: If max_model_len passes the model's context.
        """
        fits = 1 <= max_model_len <= model.context_length
        limit = f"must be 1 to {model.context_length}, the model's context"
        require("max_model_len", max_model_len, fits, limit)
        self._model = model
        self._tokens: list[int] = []
        self._cache: Cache | None = None
        self.max_model_len = max_model_len
        self.block_size = max_model_len
        self.vocabulary_size = model.vocabulary_size
        self.eos_token_ids = model.eos_token_ids
        self.adapters = model.adapters.names if model.adapters else frozenset()
        self.sliding_window = None  # nothing here is cut into blocks: transformers keeps its own
        model.module.set_attn_implementation("sdpa")

    def step(self, batch: Batch) -> list[Drawn | Failed]:
        """
        Generate one token of one sequence.

        Raises:
            ValueError: If the batch has several sequences or part of a prompt.
            OutOfMemory: If this step did not fit.
            RunnerLost: If the device has failed for good.
        """
        (item,) = batch.items
        if not item.samples:
            raise ValueError("a step must hold the whole prompt: raise max_batch_tokens")
        if item.start == 0:
            self._tokens = []
            self._cache = DynamicCache(config=self._model.module.config)
        self._tokens += item.token_ids
        ids = torch.tensor([self._tokens], device=self._model.device)
        if self._model.adapters:
            whole = Segment(adapter=item.adapter, begin=0, end=None)
            self._model.adapters.choose([whole] if item.adapter else [])
        generate: Any = self._model.module.generate
        with device_faults(), torch.inference_mode():
            answer = generate(
                ids,
                attention_mask=torch.ones_like(ids),
                past_key_values=self._cache,
                **ONE_TOKEN,
            )
        return sample(answer.logits[0], [Draw(sampling=item.sampling, history=item.history)])
