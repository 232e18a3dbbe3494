"""
Run one engine in a process of its own and continue the prompts that come on standard input.

    python -m benchmarks.serving.worker ENGINE FOLDER STREAMS THREADS

One line of JSON in (`prompts`, `new_tokens`), one out (`seconds`, `answers`); the first line out
says that the model is loaded. Engines: `ours` (the server's engine in process, prefixes not shared
between lines), `generate` (transformers, one prompt after the other), `generate_batch` (all at
once), `ctranslate2` (float32, all at once; converts the folder at its first start).
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Continue = Callable[[list[list[int]], int], list[list[int]]]


def open_ours(folder: Path, streams: int, threads: int) -> Continue:
    """Put the server's engine behind a call that waits."""
    from model_server.compute.processors import spin_shortly  # noqa: PLC0415 - no peer's

    spin_shortly(os.environ)  # noqa: TID251 - as the server starts
    from model_server import lean_import  # noqa: F401, PLC0415 - as the server starts
    from model_server.api.lifecycle import Lifecycle, ModelIdentity  # noqa: PLC0415
    from model_server.assembly import assemble  # noqa: PLC0415 - seconds
    from model_server.engine.request import Request, SamplingParameters  # noqa: PLC0415
    from model_server.settings import Settings  # noqa: PLC0415

    settings = Settings(model=folder, max_sequences=streams)
    with ThreadPoolExecutor(1) as load:  # as the server does: OpenMP's threads end with it
        identity = ModelIdentity(name="bench")
        engine: Any = load.submit(assemble, settings, None, Lifecycle(identity)).result().engine
    _set_threads(threads)
    runner = asyncio.Runner()
    calls = iter(range(10**9))

    async def one(salt: str, number: int, ids: list[int], new_tokens: int) -> list[int]:
        request = Request(
            request_id=f"{salt}-{number}",
            prompt_ids=tuple(ids),
            sampling=SamplingParameters(max_tokens=new_tokens, temperature=0, ignore_eos=True),
            cache_salt=salt,
        )
        return [token async for output in engine.generate(request) for token in output.token_ids]

    async def every(prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        if not engine.is_alive:
            engine.start()
        salt = str(next(calls))
        work = (one(salt, number, ids, new_tokens) for number, ids in enumerate(prompts))
        return list(await asyncio.gather(*work))

    return lambda prompts, new_tokens: runner.run(every(prompts, new_tokens))


def _set_threads(threads: int) -> None:
    import torch  # noqa: PLC0415 - seconds

    torch.set_num_threads(threads)


def _open_transformers(folder: Path, threads: int) -> Continue:
    import torch  # noqa: PLC0415 - seconds
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - seconds

    _set_threads(threads)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def together(prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        ids = torch.tensor(prompts)  # (B, T): all of one length, so nothing is padded
        with torch.inference_mode():
            answer = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=new_tokens,
                do_sample=False,
                pad_token_id=0,
            )
        continued: list[list[int]] = answer[:, ids.shape[1] :].tolist()
        return continued

    return together


def open_generate(folder: Path, streams: int, threads: int) -> Continue:
    """Serve one prompt after the other."""
    del streams
    together = _open_transformers(folder, threads)
    return lambda prompts, new_tokens: [together([ids], new_tokens)[0] for ids in prompts]


def open_generate_batch(folder: Path, streams: int, threads: int) -> Continue:
    """Serve all prompts in one batch that must arrive together."""
    del streams
    return _open_transformers(folder, threads)


def open_ctranslate2(folder: Path, streams: int, threads: int) -> Continue:
    """Convert once, then serve all prompts in one batch."""
    import ctranslate2  # type: ignore[import-not-found] # noqa: PLC0415 - in the peers' own venv

    converted = folder.with_name(f"{folder.name}-ctranslate2")
    if not converted.exists():
        converter = ctranslate2.converters.TransformersConverter(str(folder))
        converter.convert(str(converted))
    generator = ctranslate2.Generator(
        str(converted), device="cpu", compute_type="float32", inter_threads=1, intra_threads=threads
    )
    vocabulary = json.loads((converted / "vocabulary.json").read_text(encoding="utf-8"))

    def together(prompts: list[list[int]], new_tokens: int) -> list[list[int]]:
        results = generator.generate_batch(
            [[vocabulary[token] for token in ids] for ids in prompts],
            max_batch_size=streams,
            max_length=new_tokens,
            min_length=new_tokens,
            sampling_topk=1,
            include_prompt_in_result=False,
            end_token=[],
        )
        return [list(result.sequences_ids[0]) for result in results]

    return together


ENGINES: dict[str, Callable[[Path, int, int], Continue]] = {
    "ours": open_ours,
    "generate": open_generate,
    "generate_batch": open_generate_batch,
    "ctranslate2": open_ctranslate2,
}


def main() -> None:
    """Load, then answer each line."""
    name, folder, streams, threads = sys.argv[1:]
    proceed = ENGINES[name](Path(folder), int(streams), int(threads))
    out = sys.stdout
    sys.stdout = sys.stderr  # what libraries print must not stand between our lines
    print(json.dumps({"loaded": name}), file=out, flush=True)
    for line in sys.stdin:
        work = json.loads(line)
        began, used = time.perf_counter(), time.process_time()
        answers = proceed(work["prompts"], work["new_tokens"])
        result = {
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - used,
            "answers": answers,
        }
        print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    main()
