"""
Turn a raw Mistral checkpoint into the hub's layout, which everything else here reads.

Mistral publishes weights as `params.json`, `tokenizer.model` and `consolidated*.safetensors` (or
`.pth`), with names and a rotary layout of its own. transformers no longer ships its converter with
the package, so the mapping stands here: names are renamed one to one, and the rows of the query and
key projections are put in another order, since Mistral rotates neighbouring pairs (0, 1), (2, 3)
and so on, and transformers the first half against the second. Nothing is computed: no bit is lost.

Source of both conventions: mistralai/mistral-inference (rope.py, transformer_layers.py) and
transformers' modeling_mistral.rotate_half. torch, transformers, safetensors, huggingface_hub and
sentencepiece are imported where they are used.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_presets.lock import WrongWeights
from model_presets.sentence_pieces import write_tokenizer

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig

SHARD_BYTES = "5GB"
NEEDED = ("params.json", "tokenizer.model")

# Mistral's name of a tensor -> transformers'; the layer and the expert are carried over.
_RENAMES = (
    (r"tok_embeddings\.weight", r"model.embed_tokens.weight"),
    (r"norm\.weight", r"model.norm.weight"),
    (r"output\.weight", r"lm_head.weight"),
    (r"layers\.(\d+)\.attention_norm\.weight", r"model.layers.\1.input_layernorm.weight"),
    (r"layers\.(\d+)\.ffn_norm\.weight", r"model.layers.\1.post_attention_layernorm.weight"),
    (r"layers\.(\d+)\.attention\.w([qkvo])\.weight", r"model.layers.\1.self_attn.\2_proj.weight"),
    (r"layers\.(\d+)\.feed_forward\.w1\.weight", r"model.layers.\1.mlp.gate_proj.weight"),
    (r"layers\.(\d+)\.feed_forward\.w2\.weight", r"model.layers.\1.mlp.down_proj.weight"),
    (r"layers\.(\d+)\.feed_forward\.w3\.weight", r"model.layers.\1.mlp.up_proj.weight"),
    (
        r"layers\.(\d+)\.feed_forward\.gate\.weight",
        r"model.layers.\1.block_sparse_moe.gate.weight",
    ),
    (
        r"layers\.(\d+)\.feed_forward\.experts\.(\d+)\.w([123])\.weight",
        r"model.layers.\1.block_sparse_moe.experts.\2.w\3.weight",
    ),
)
_ROTATED = re.compile(r"layers\.\d+\.attention\.w([qk])\.weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """
    Hold what params.json says.

    Attributes:
        hidden_size: Width of the residual stream.
        layers: Decoder layers.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of one head.
        intermediate_size: Width inside a feed-forward part.
        vocab_size: Tokens.
        norm_eps: Of the RMS norms.
        rope_theta: Base of the rotary frequencies.
        sliding_window: How far back a layer looks, tokens; none for the whole context.
        context_length: Positions that config.json names.
        experts: Feed-forward parts of a layer; none for one.
        experts_per_token: How many of them see one token.
    """

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    norm_eps: float
    rope_theta: float
    sliding_window: int | None
    context_length: int
    experts: int | None
    experts_per_token: int | None


def convert_consolidated(source: Path, directory: Path) -> list[str]:
    """
    Write the hub's layout of a raw checkpoint into a folder.

    Args:
        source: Folder with params.json, tokenizer.model and consolidated*.safetensors or *.pth.
        directory: Where to; made when it is missing.

    Returns:
        The names of the files that were written.

    Raises:
        WrongWeights: names the file that is missing or is not what it should be.
    """
    from huggingface_hub import save_torch_state_dict  # noqa: PLC0415 - see the module's docstring

    for name in NEEDED:
        if not (source / name).is_file():
            raise WrongWeights(source / name, "missing; a raw checkpoint has it beside the weights")
    shape = read_shape(source / "params.json")
    tensors = dict(_converted(source, shape))
    directory.mkdir(parents=True, exist_ok=True)
    _config(shape).save_pretrained(directory)
    _state_dtype(directory, tensors)
    save_torch_state_dict(tensors, directory, max_shard_size=SHARD_BYTES, metadata={"format": "pt"})
    write_tokenizer(source / "tokenizer.model", directory)
    for path in directory.iterdir():
        path.chmod(0o644)
    return sorted(path.name for path in directory.iterdir())


def read_shape(path: Path) -> Shape:
    """
    Read params.json.

    Raises:
        WrongWeights: names the key that is missing or has another type.
    """
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        experts: dict[str, Any] = raw.get("moe") or {}
        return Shape(
            hidden_size=int(raw["dim"]),
            layers=int(raw["n_layers"]),
            heads=int(raw["n_heads"]),
            kv_heads=int(raw.get("n_kv_heads", raw["n_heads"])),
            head_dim=int(raw.get("head_dim", raw["dim"] // raw["n_heads"])),
            intermediate_size=int(raw["hidden_dim"]),
            vocab_size=int(raw["vocab_size"]),
            norm_eps=float(raw["norm_eps"]),
            # Source: mistral-inference's default where the file is silent and there is no window.
            rope_theta=float(raw.get("rope_theta") or (1e4 if raw.get("sliding_window") else 1e6)),
            sliding_window=raw.get("sliding_window"),
            context_length=int(raw.get("max_seq_len", 32768)),
            experts=experts.get("num_experts"),
            experts_per_token=experts.get("num_experts_per_tok"),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise WrongWeights(path, f"not Mistral's params ({error}); fetch it again") from error
    except KeyError as error:
        raise WrongWeights(path, f"has no {error}; fetch it again") from error


def _converted(source: Path, shape: Shape) -> Iterator[tuple[str, "Tensor"]]:
    seen: dict[str, Path] = {}
    for path in _checkpoints(source):
        for name, tensor in _tensors(path).items():
            if name in seen:
                why = (
                    f"holds {name} as {seen[name].name} does: a checkpoint cut for several "
                    "GPUs; take the one-file version"
                )
                raise WrongWeights(path, why)
            seen[name] = path
            yield _renamed(path, name), _reordered(name, tensor, shape).contiguous()


def _checkpoints(source: Path) -> list[Path]:
    for pattern in ("consolidated*.safetensors", "consolidated*.pth"):
        found = sorted(source.glob(pattern))
        if found:
            return found
    raise WrongWeights(source, "holds no consolidated*.safetensors and no consolidated*.pth")


def _tensors(path: Path) -> dict[str, "Tensor"]:
    import pickle  # noqa: PLC0415 - for the name of the error only

    import torch  # noqa: PLC0415 - see the module's docstring
    from safetensors.torch import load_file  # noqa: PLC0415 - the same

    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise WrongWeights(path, f"holds more or less than tensors ({error})") from error
    if not isinstance(content, dict):
        raise WrongWeights(path, "is not a mapping of names to tensors; fetch it again")
    return content


def _renamed(path: Path, name: str) -> str:
    for pattern, replacement in _RENAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(replacement)
    raise WrongWeights(path, f"holds {name}, which no Mistral or Mixtral has")


def _reordered(name: str, tensor: "Tensor", shape: Shape) -> "Tensor":
    """Put a projection's rows from neighbouring pairs, (H, D/2, 2), into halves, (H, 2, D/2)."""
    match = _ROTATED.fullmatch(name)
    if match is None:
        return tensor
    heads = shape.heads if match[1] == "q" else shape.kv_heads
    pairs = tensor.view(heads, shape.head_dim // 2, 2, tensor.shape[1])  # (H, D/2, 2, E)
    return pairs.transpose(1, 2).reshape(tensor.shape)


def _config(shape: Shape) -> "PreTrainedConfig":
    from transformers import MistralConfig, MixtralConfig  # noqa: PLC0415 - see above

    words: dict[str, Any] = {
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context_length,
        "sliding_window": shape.sliding_window,
        "rms_norm_eps": shape.norm_eps,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if shape.experts is None:
        return MistralConfig(**words, architectures=["MistralForCausalLM"])
    words["num_local_experts"] = shape.experts
    words["num_experts_per_tok"] = shape.experts_per_token
    return MixtralConfig(**words, architectures=["MixtralForCausalLM"])


def _state_dtype(directory: Path, tensors: "dict[str, Tensor]") -> None:
    """Say in config.json what type the weights have, so that a loader does not widen them."""
    path = directory / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["dtype"] = str(next(iter(tensors.values())).dtype).removeprefix("torch.")
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
