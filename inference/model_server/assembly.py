"""
Put model, runner, engine and tokenizer together.

This is where the HTTP side and the token side are joined; everything above sees only what
`service.ServedModel` promises. Imports torch and transformers, which takes seconds: import it late.
"""

import atexit
import gc
from collections.abc import Sequence
from dataclasses import replace

from model_presets.preset import Preset

from model_server.api.lifecycle import Lifecycle
from model_server.api.service import ServedModel
from model_server.compute.adapter_files import AdapterCheckpoint
from model_server.compute.cache_size import mixed_step_tokens, open_native_runner, step_tokens
from model_server.compute.checkpoint import BadCheckpoint
from model_server.compute.lora import Adapters, merge
from model_server.compute.model import LoadedModel, choose_device, load_model
from model_server.compute.reference_runner import ReferenceRunner
from model_server.engine.engine import Engine
from model_server.engine.engine_state import EngineLimits
from model_server.settings import Settings
from model_server.text.grammar import Grammars
from model_server.text.tokenizer import BadTokenizer, TextTokenizer


def assemble(
    settings: Settings,
    preset: Preset | None,
    lifecycle: Lifecycle,
    adapters: Sequence[AdapterCheckpoint] = (),
) -> ServedModel:
    """
    Load everything that the settings name, and the adapters of which the folders have been read.

    Raises:
        BadCheckpoint: If weights, tokenizer or device cannot be used.
        InvalidRequest: If --max-model-len passes the model's context.
    """
    template = preset.chat_template if preset else None
    try:
        tokenizer = TextTokenizer(settings.model, chat_template=template)
    except BadTokenizer as error:
        raise BadCheckpoint(str(error)) from error
    more = sum(adapter.total_bytes for adapter in adapters)
    model = load_model(
        settings.model,
        device=settings.device,
        dtype=_dtype(settings, preset),
        progress=lambda loaded, total: lifecycle.loaded(loaded, total + more),
    )
    model = _with_adapters(model, adapters, lifecycle, is_merged=settings.merge_adapters)
    longest = settings.max_model_len or _context(model, preset)
    grammars = Grammars(
        tokenizer.to_json(),
        vocabulary_size=model.vocabulary_size,
        eos_token_ids=model.eos_token_ids,
    )
    engine = _engine(settings, model, longest)
    _take_out_of_collections()
    name = lifecycle.now().model.name
    return ServedModel(engine=engine, tokenizer=tokenizer, grammars=grammars, name=name)


def _take_out_of_collections() -> None:
    """
    Let Python's collector look at what requests make, and no longer at what was loaded.

    A full collection walks over 400,000 objects of torch and transformers and keeps Python's lock
    for 0.24 s: every stream stands still. They live as long as the process.
    """
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # or extensions would report all of it as leaked


def _with_adapters(
    model: LoadedModel,
    adapters: Sequence[AdapterCheckpoint],
    lifecycle: Lifecycle,
    *,
    is_merged: bool,
) -> LoadedModel:
    """Load the adapters beside the weights or into them; a model without any stays as it is."""
    if not adapters:
        return model
    total = lifecycle.now().bytes_total

    def count(size: int) -> None:
        lifecycle.loaded(lifecycle.now().bytes_loaded + size, total)

    if is_merged:
        merge(model.module, adapters, count)
        return model
    return replace(model, adapters=Adapters(model.module, adapters, model.dtype, count))


def _dtype(settings: Settings, preset: Preset | None) -> str:
    """Take the preset's type on a GPU; on a CPU the loader knows best."""
    on_gpu = choose_device(settings.device).type == "cuda"
    if settings.dtype == "auto" and preset is not None and on_gpu:
        return preset.dtype
    return settings.dtype


def _context(model: LoadedModel, preset: Preset | None) -> int:
    """Take what the preset promises: a config may allow more than the model was trained for."""
    return min(model.context_length, preset.context_length) if preset else model.context_length


def _engine(settings: Settings, model: LoadedModel, longest: int) -> Engine:
    if settings.engine == "reference":
        runner = ReferenceRunner(model, max_model_len=longest)
        limits = EngineLimits(
            max_sequences=1, max_queued=settings.max_queued, max_batch_tokens=longest + 1
        )
        return Engine(runner, limits)
    limits = EngineLimits(
        max_sequences=settings.max_sequences,
        max_queued=settings.max_queued,
        max_batch_tokens=step_tokens(model, settings.max_sequences),
        max_mixed_tokens=mixed_step_tokens(model, settings.max_sequences),
    )
    native = open_native_runner(
        model,
        max_model_len=longest,
        max_sequences=limits.max_sequences,
        max_batch_tokens=limits.max_batch_tokens,
        fast_paths=settings.fast_paths,
    )
    return Engine(native, limits)
