"""
Make a model that fits anywhere, so that everything can be tried without a GPU or a model hub.

The result is a real Mistral (or Mixtral) in the hub's file layout: grouped-query attention, a
sliding window (or experts), a byte-fallback BPE tokenizer, weights as safetensors shards with an
index. Only its size differs from the real one's, so whatever loads one loads the other. It learns
one page of text by heart, so that its answers are words; it knows nothing.

The same seed gives the same bytes on the same kind of CPU and the same version of torch: one
thread, seeded draws, no clock. torch, transformers and tokenizers are imported where they are used,
since the operator's image carries this file without them.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_presets.catalog import load_catalog
from model_presets.preset import Preset

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

LESSONS = Path(__file__).with_name("tiny_lessons.txt")
SPECIAL = ("<unk>", "<s>", "</s>")  # ids 0, 1, 2, as in Mistral's own tokenizer
SPACE = "\u2581"  # how a sentencepiece vocabulary writes a blank
SHARD_BYTES = 1_000_000  # small enough that there are two shards and an index, as in the hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """Hold one question and the answer to learn by heart."""

    question: str
    answer: str


def make_tiny(
    directory: Path, seed: int = 0, *, steps: int = 400, name: str = "tiny-mistral"
) -> None:
    """
    Write a tiny model into a folder, in the hub's file layout.

    Args:
        directory: Where to write; made when it is missing.
        seed: The same seed gives the same bytes.
        name: The preset that says its shape: one that is made from a seed.
        steps: Training steps, about 0.06 s each on one core; 0 leaves the weights random, for
            tests that need no words.
    """
    preset = load_catalog().get(name)
    directory.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer(preset)
    with _repeatable(seed):
        model = _new_model(preset)
        if steps:
            _teach(model, _samples(tokenizer), seed, steps)
        _write_model(model, directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    _write_tokenizer_settings(preset, directory)
    for path in directory.iterdir():
        path.chmod(0o644)  # safetensors writes 0600, and the server is another user


def read_lessons() -> tuple[Lesson, ...]:
    """Read the page that the model learns by heart."""
    lines = LESSONS.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(" | ", 1) for line in lines)
    return tuple(Lesson(question=question, answer=answer) for question, answer in pairs)


def _train_tokenizer(preset: Preset) -> "Tokenizer":
    """Train a byte-fallback BPE tokenizer: unknown characters become bytes, never `<unk>`."""
    from tokenizers import (  # noqa: PLC0415 - see the module's docstring
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    spare = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=preset.vocab_size, special_tokens=spare, show_progress=False
    )
    words.train_from_iterator(
        (text for lesson in read_lessons() for text in (_prompt(lesson), lesson.answer)), trainer
    )
    learned = json.loads(words.to_str())["model"]

    tokenizer = Tokenizer(
        models.BPE(
            vocab=learned["vocab"],
            merges=[(left, right) for left, right in learned["merges"]],
            unk_token=SPECIAL[0],
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    # Source: the normalizer, decoder and post-processor of tokenizer.json as Mistral 7B v0.1 has
    # them (LlamaConverter in transformers/convert_slow_tokenizer.py writes the same).
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(SPACE), normalizers.Replace(" ", SPACE)]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    return tokenizer


def _prompt(lesson: Lesson) -> str:
    """Write a question as the v0.1 format does, without the `<s>` before it."""
    return f"[INST] {lesson.question} [/INST]"


def _samples(tokenizer: "Tokenizer") -> list[list[int]]:
    """Return `<s>[INST] question [/INST] answer</s>` of each lesson, as token ids."""
    texts = (f"{_prompt(lesson)} {lesson.answer}</s>" for lesson in read_lessons())
    return [list(tokenizer.encode(text).ids) for text in texts]


def _new_model(preset: Preset) -> "PreTrainedModel":
    from transformers import (  # noqa: PLC0415 - see above
        MistralConfig,
        MistralForCausalLM,
        MixtralConfig,
        MixtralForCausalLM,
    )

    shape: dict[str, Any] = {
        "vocab_size": preset.vocab_size,
        "hidden_size": preset.hidden_size,
        "intermediate_size": preset.intermediate_size,
        "num_hidden_layers": preset.layers,
        "num_attention_heads": preset.heads,
        "num_key_value_heads": preset.kv_heads,
        "head_dim": preset.head_dim,
        "max_position_embeddings": preset.context_length,
        "sliding_window": preset.sliding_window,
        "rms_norm_eps": 1e-5,
        "use_cache": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if preset.experts is None:
        return MistralForCausalLM(MistralConfig(**shape))
    experts: dict[str, Any] = {
        "num_local_experts": preset.experts,
        "num_experts_per_tok": preset.experts_per_token,
    }
    return MixtralForCausalLM(MixtralConfig(**shape, **experts))


def _teach(model: "PreTrainedModel", samples: list[list[int]], seed: int, steps: int) -> None:
    """Train on the page until it is known by heart: AdamW, a cosine from 4e-3 down to 0."""
    import torch  # noqa: PLC0415 - see above

    width = max(len(sample) for sample in samples)
    ids = torch.tensor([sample + [2] * (width - len(sample)) for sample in samples])  # (N, T)
    labels = torch.tensor([sample + [-100] * (width - len(sample)) for sample in samples])
    draws = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(steps):
        batch = torch.randint(len(samples), (8,), generator=draws)
        loss = model(input_ids=ids[batch], labels=labels[batch], use_cache=False).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.train(mode=False)


def _write_model(model: "PreTrainedModel", directory: Path) -> None:
    import torch  # noqa: PLC0415 - see above

    torch.nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(directory, max_shard_size=SHARD_BYTES)


def _write_tokenizer_settings(preset: Preset, directory: Path) -> None:
    unknown, begin, end = SPECIAL
    settings = {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": begin,
        "chat_template": preset.chat_template,
        "clean_up_tokenization_spaces": False,
        "eos_token": end,
        "legacy": True,
        "model_max_length": preset.context_length,
        "pad_token": None,
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": unknown,
    }
    special = {"bos_token": begin, "eos_token": end, "unk_token": unknown}
    for name, content in (
        ("tokenizer_config.json", settings),
        ("special_tokens_map.json", special),
    ):
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (directory / name).write_text(text, encoding="utf-8")


@contextmanager
def _repeatable(seed: int) -> Iterator[None]:
    """Draw from a seed on one thread, and leave the caller's torch as it was."""
    import torch  # noqa: PLC0415 - see above

    threads = torch.get_num_threads()
    exact = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(mode=exact)
            torch.set_num_threads(threads)
