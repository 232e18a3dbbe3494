"""
Work out whether a tuning fits a GPU, before one is bought.

What has to fit, in bytes (Mistral 7B, rank 8, one example of 8,192 tokens, as the tuning image
trains it: adapters of the query and value projections, checkpointed activations):

    base weights      lora: 2 per parameter                                          13.5 GiB
                      qlora: 4.127 bits per parameter of a linear layer, 4 for the rest
                                                                                      4.4 GiB
    adapters          16 per parameter: value, gradient and Adam's two moments in float32
                                                                                      0.1 GiB
    activations       per token: each layer's input in 2 bytes, one layer computed again, the logits
                                                                                      7.3 GiB
    runtime           as for serving                                                  1.0 GiB

Sources: 4.127 bits with double quantization: Dettmers et al. 2023, "QLoRA", section 3. That the
rest is cast to float32: huggingface/peft, prepare_model_for_kbit_training. 16 bytes: Rajbhandari
et al. 2020, "ZeRO", section 3.1, for float32. One layer's activations: Korthikanti et al. 2022,
"Reducing Activation Recomputation in Large Transformer Models", section 4.1, with three matrices in
the feed-forward part and without the scores, which a fused attention does not keep.

Must not import anything above `memory_fit`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from model_presets.preset import BYTES_PER_VALUE, Preset
from model_presets.tuning_config import Method

from workspace_operator.instance_types import GIB, Gpu, of_cloud
from workspace_operator.memory_fit import RUNTIME_OVERHEAD_BYTES, MemoryFit

NF4_BITS = 4.127
INT8_BITS = 8.0
KEPT_WHOLE_BYTES = 4
TRAINED_BYTES = 16
ACTIVATION_BYTES = 2
# One layer while it is computed again: attention and norms, then the feed-forward part; twice, for
# the gradients of the same.
LAYER_BYTES_PER_HIDDEN = 17
LAYER_BYTES_PER_INTERMEDIATE = 8
# BF16, and in float32 the same again with its gradient.
LOGIT_BYTES = 2 + 4 + 4

# What peft adapts in a Mistral where the configuration names nothing.
# Source: huggingface/peft, TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.
DEFAULT_TARGETS = ("q_proj", "v_proj")
ALL_TARGETS = "all-linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """
    Hold what of a training configuration costs memory.

    Attributes:
        method: lora or qlora.
        eight_bit: Whether a quantized base keeps 8 bits instead of 4.
        rank: Rank of the adapters.
        targets: The matrices that get one, by name; `all-linear` for every one.
        batch: Examples at a time.
        tokens: Longest example.
    """

    method: Method
    eight_bit: bool = False
    rank: int = 8
    targets: Sequence[str] = DEFAULT_TARGETS
    batch: int = 1
    tokens: int


def tuning_bytes(preset: Preset, recipe: Recipe) -> int:
    """Return what a tuning takes of the memory of its one GPU."""
    fixed = base_bytes(preset, recipe) + adapter_bytes(preset, recipe) + RUNTIME_OVERHEAD_BYTES
    return fixed + recipe.batch * recipe.tokens * token_bytes(preset)


def base_bytes(preset: Preset, recipe: Recipe) -> int:
    """Return the bytes of the frozen weights."""
    if recipe.method == "lora":
        return preset.weight_bytes
    whole = 2 * preset.vocab_size * preset.hidden_size
    bits = INT8_BITS if recipe.eight_bit else NF4_BITS
    return int((preset.parameters - whole) * bits / 8) + whole * KEPT_WHOLE_BYTES


def adapter_bytes(preset: Preset, recipe: Recipe) -> int:
    """Return the bytes of the trained values and of what their training keeps."""
    shapes = _shapes(preset)
    chosen = shapes if ALL_TARGETS in recipe.targets else recipe.targets
    width = sum(sum(shapes[name]) for name in chosen if name in shapes)
    return preset.layers * recipe.rank * width * TRAINED_BYTES


def token_bytes(preset: Preset) -> int:
    """Return the bytes of activations that one token of a batch keeps."""
    kept = preset.layers * preset.hidden_size * ACTIVATION_BYTES
    layer = LAYER_BYTES_PER_HIDDEN * preset.hidden_size
    layer += LAYER_BYTES_PER_INTERMEDIATE * preset.intermediate_size
    return kept + 2 * layer + preset.vocab_size * LOGIT_BYTES


def tuning_fit(preset: Preset, recipe: Recipe, gpu: Gpu | None, gpus: int, cloud: str) -> MemoryFit:
    """
    Compare a tuning with the GPU that it is given.

    Args:
        preset: The base model.
        recipe: What is asked for.
        gpu: The kind of GPU; none where it is not known, or where there is none.
        gpus: Whether there is one, as a number.
        cloud: Where to look for a machine that fits, if this one does not.
    """
    usable = gpu.usable_bytes if gpu is not None and gpus else None
    fits = None
    if gpu is not None and usable is not None:
        fits = runs_on(preset, recipe, gpu)
    return MemoryFit(
        weight_bytes=base_bytes(preset, recipe),
        kv_bytes_per_token=0,
        overhead_bytes=gpus * RUNTIME_OVERHEAD_BYTES,
        usable_bytes=usable,
        required_tokens=recipe.batch * recipe.tokens,
        kv_tokens=None,
        fits=fits,
        sentence=_sentence(preset, recipe, gpu if gpus else None, gpus, cloud),
    )


def runs_on(preset: Preset, recipe: Recipe, gpu: Gpu) -> bool:
    """Say whether one GPU of a kind can do a tuning."""
    return _computes(preset, gpu) and tuning_bytes(preset, recipe) <= gpu.usable_bytes


def most_tokens(preset: Preset, recipe: Recipe, gpu: Gpu) -> int:
    """Return the longest example that fits a GPU; 0 where the weights alone do not."""
    left = gpu.usable_bytes - tuning_bytes(preset, recipe)
    left += recipe.batch * recipe.tokens * token_bytes(preset)
    return max(0, left // (recipe.batch * token_bytes(preset)))


def _computes(preset: Preset, gpu: Gpu) -> bool:
    return gpu.bfloat16 or BYTES_PER_VALUE.get(preset.dtype) is None or preset.dtype != "bfloat16"


def _sentence(preset: Preset, recipe: Recipe, gpu: Gpu | None, gpus: int, cloud: str) -> str:
    if not gpus:
        return f"tuning {preset.name} needs no GPU: it is trained on the node's processors"
    sum_ = (
        f"{_gib(base_bytes(preset, recipe))} of weights, "
        f"{_gib(adapter_bytes(preset, recipe))} for adapters of rank {recipe.rank}, "
        f"{_gib(recipe.batch * recipe.tokens * token_bytes(preset))} for "
        f"{recipe.batch} x {recipe.tokens:,} tokens and {_gib(RUNTIME_OVERHEAD_BYTES)} "
        "for the runtime"
    )
    what = f"{recipe.method} of {preset.name}"
    if gpu is None:
        return f"{what} needs {sum_}; the GPU of this node type is not known, so it is tried"
    have = f"one {gpu.name} with {_gib(gpu.usable_bytes)} usable"
    if not _computes(preset, gpu):
        remedy = _machines(preset, recipe, cloud)
        return f"{have} cannot compute in {preset.dtype}, which {preset.name} needs{remedy}"
    if runs_on(preset, recipe, gpu):
        return f"{have} holds {what}: {sum_}"
    return f"{have} cannot hold {what}: {sum_}{_remedy(preset, recipe, gpu, cloud)}"


def _remedy(preset: Preset, recipe: Recipe, gpu: Gpu, cloud: str) -> str:
    shorter = most_tokens(preset, recipe, gpu)
    if shorter:
        return (
            "; in training_config.yaml set TrainingArguments.max_length to "
            f"{shorter} or less{_machines(preset, recipe, cloud).replace('; use', ', or use')}"
        )
    other = "; take method qlora" if recipe.method == "lora" else ""
    return other + _machines(preset, recipe, cloud).replace(
        "; use", ", or use" if other else "; use"
    )


def _machines(preset: Preset, recipe: Recipe, cloud: str) -> str:
    fitting = [each.name for each in of_cloud(cloud) if runs_on(preset, recipe, each.gpu)]
    return f"; use resource.instanceType {' or '.join(fitting[:3])}" if fitting else ""


def _shapes(preset: Preset) -> dict[str, tuple[int, int]]:
    """Return the inputs and outputs of each matrix of a layer."""
    hidden, inner = preset.hidden_size, preset.intermediate_size
    queries = preset.heads * preset.head_dim
    keys = preset.kv_heads * preset.head_dim
    return {
        "q_proj": (hidden, queries),
        "k_proj": (hidden, keys),
        "v_proj": (hidden, keys),
        "o_proj": (queries, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }


def _gib(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number >= GIB // 10 else f"{number / 1024**2:.1f} MiB"
