"""
Work out whether a model fits a GPU, and how much conversation fits beside it.

What has to fit, per GPU memory that CUDA reports:

    weights            7.24 G parameters x 2 B                        = 13.5 GiB
    runtime overhead   CUDA context, kernels, workspaces, activations = at most 1 GiB per GPU
    keys and values    2 x 32 layers x 8 heads x 128 x 2 B            = 131,072 B per token

(the figures of Mistral 7B in BF16). What the first two leave is divided by the third: so many
tokens of all running requests fit. A model fits when at least one request can run at full length,
where a sliding window bounds what a request keeps: 4,096 tokens, 0.5 GiB.

Adapters lie beside the weights. Nobody knows their size before they are there, so they change no
verdict: each is counted with the most that is fetched of an image, 2 GiB, and the room that stays
in any case is told beside the other. One of rank 8 for the queries and values of Mistral 7B takes
7 MB: 32 layers x 8 x (8,192 + 5,120) x 2 B.

A 16 GB Ampere card reports at least 15.0 GiB: 15.0 - 13.49 - 1.0 = 0.51 GiB, one full window. A T4
reports 14.5 GiB and has no BF16: it does not fit.

Must not import anything above `instance_types`.
"""

from dataclasses import dataclass

from model_presets.preset import Preset

from workspace_operator.instance_types import GIB, Gpu, InstanceType, of_cloud

# The server's promise, kept by its tests: everything but weights and cache stays below this.
RUNTIME_OVERHEAD_BYTES = 1 * GIB

# A model without a sliding window fits if it can hold at least one request of this length; its
# context is then cut to what is there.
SHORTEST_CONTEXT_TOKENS = 4096

# The size limit of the folder that an adapter's image is unpacked into.
MOST_ADAPTER_GIB = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryFit:
    """
    Hold the arithmetic and its verdict.

    Attributes:
        weight_bytes: All weights.
        kv_bytes_per_token: Keys and values of one token.
        overhead_bytes: What the runtime takes, over the GPUs in use.
        usable_bytes: Memory of the GPUs in use; none where the GPU is not known.
        required_tokens: What one request at full length keeps.
        kv_tokens: Tokens that fit beside the weights; none where the GPU is not known.
        fits: The verdict; none where the GPU is not known.
        sentence: Figures, verdict and, where it does not fit, the remedy.
        sure_tokens: Tokens that fit beside adapters of the largest size too; none without adapters
            or where the GPU is not known.
    """

    weight_bytes: int
    kv_bytes_per_token: int
    overhead_bytes: int
    usable_bytes: int | None
    required_tokens: int
    kv_tokens: int | None
    fits: bool | None
    sentence: str
    sure_tokens: int | None = None


def unknown_fit() -> MemoryFit:
    """Return the fit of a program that nobody knows the size of."""
    return MemoryFit(
        weight_bytes=0,
        kv_bytes_per_token=0,
        overhead_bytes=0,
        usable_bytes=None,
        required_tokens=0,
        kv_tokens=None,
        fits=None,
        sentence="inference.template runs as it is written; "
        "whether it fits the memory of the GPU is not known",
    )


def gpus_in_use(preset: Preset, gpus: int) -> int:
    """Return over how many of a node's GPUs the weights are spread; a small model takes one."""
    return gpus if preset.gpu_count > 1 else min(gpus, 1)


def memory_fit(
    preset: Preset,
    gpu: Gpu | None,
    gpus: int,
    cloud: str,
    context: int | None = None,
    *,
    adapters: int = 0,
) -> MemoryFit:
    """
    Compare a model with the GPUs of one node.

    Args:
        preset: The model.
        gpu: The kind of GPU; none where it is not known, or where there is none.
        gpus: How many of them the pod is given.
        cloud: Where to look for a machine that fits, if this one does not.
        context: Tokens of one request that the user insists on; none for what there is room for.
        adapters: How many lie beside the weights.
    """
    used = gpus_in_use(preset, gpus)
    usable = used * gpu.usable_bytes if gpu is not None and used else None
    overhead = used * RUNTIME_OVERHEAD_BYTES
    required = required_tokens(preset, context)
    kv_tokens = None
    sure_tokens = None
    fits = None
    if usable is not None:
        left = usable - preset.weight_bytes - overhead
        kv_tokens = max(0, left // preset.kv_bytes_per_token)
        fits = kv_tokens >= required and _computes(preset, gpu)
        if adapters:
            left -= adapters * MOST_ADAPTER_GIB * GIB
            sure_tokens = max(0, left // preset.kv_bytes_per_token)
    return MemoryFit(
        weight_bytes=preset.weight_bytes,
        kv_bytes_per_token=preset.kv_bytes_per_token,
        overhead_bytes=overhead,
        usable_bytes=usable,
        required_tokens=required,
        kv_tokens=kv_tokens,
        fits=fits,
        sentence=_sentence(preset, gpu, used, kv_tokens, _Asked(cloud=cloud, context=context))
        + (_beside(adapters, sure_tokens, required) if fits else ""),
        sure_tokens=sure_tokens,
    )


def required_tokens(preset: Preset, context: int | None = None) -> int:
    """Return how many tokens one request at full length keeps."""
    longest = context or min(preset.context_length, SHORTEST_CONTEXT_TOKENS)
    return min(preset.sliding_window or longest, longest)


def fitting_types(
    preset: Preset, cloud: str, context: int | None = None
) -> tuple[InstanceType, ...]:
    """Return a cloud's machines that hold the model, the smallest first."""
    return tuple(machine for machine in of_cloud(cloud) if holds(preset, machine, context))


def holds(preset: Preset, machine: InstanceType, context: int | None = None) -> bool:
    """Say whether a machine has the GPUs that a model needs, with enough memory."""
    if machine.gpu_count < preset.gpu_count or not _computes(preset, machine.gpu):
        return False
    used = gpus_in_use(preset, machine.gpu_count)
    return needed_bytes(preset, used, context) <= used * machine.gpu.usable_bytes


def needed_bytes(preset: Preset, used: int, context: int | None = None) -> int:
    """Return what a model takes of the memory of the GPUs that it is spread over."""
    cache = required_tokens(preset, context) * preset.kv_bytes_per_token
    return preset.weight_bytes + used * RUNTIME_OVERHEAD_BYTES + cache


def _computes(preset: Preset, gpu: Gpu | None) -> bool:
    return gpu is None or gpu.bfloat16 or preset.dtype != "bfloat16"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """Hold what a remedy has to satisfy."""

    cloud: str
    context: int | None


def _sentence(
    preset: Preset, gpu: Gpu | None, used: int, kv_tokens: int | None, asked: _Asked
) -> str:
    weights = _gib(preset.weight_bytes)
    if not used:
        return f"{preset.name} needs no GPU: {weights} of weights in the node's memory"
    if gpu is None or kv_tokens is None:
        return (
            f"{preset.name} needs {weights} for weights and {_gib(RUNTIME_OVERHEAD_BYTES)} for the "
            "runtime; the GPU of this node type is not known, so the fit is checked by the server"
        )
    have = f"{used} x {gpu.name} with {_gib(used * gpu.usable_bytes)} usable"
    if not _computes(preset, gpu):
        return f"{have} cannot compute in {preset.dtype}, which {preset.name} needs" + _remedy(
            preset, asked
        )
    sum_ = f"{weights} of weights and {_gib(used * RUNTIME_OVERHEAD_BYTES)} for the runtime"
    required = required_tokens(preset, asked.context)
    if kv_tokens < required:
        return (
            f"{have} cannot hold {preset.name}: {sum_} leave room for {kv_tokens:,} tokens, "
            f"one request needs {required:,}" + _remedy(preset, asked)
        )
    return f"{have} holds {preset.name}: {sum_} leave room for {kv_tokens:,} tokens"


def _beside(adapters: int, sure_tokens: int | None, required: int) -> str:
    """Say what adapters may take of the room."""
    if sure_tokens is None:
        return ""
    them = f"{adapters} adapters" if adapters > 1 else "1 adapter"
    counted = f"; with {them} of {MOST_ADAPTER_GIB} GiB{' each' if adapters > 1 else ''}, the most "
    counted += f"that is fetched of an image, for {sure_tokens:,}"
    if sure_tokens >= required:
        return counted
    return f"{counted}, so the server measures them when they are loaded"


def _remedy(preset: Preset, asked: _Asked) -> str:
    found = fitting_types(preset, asked.cloud, asked.context)
    fitting = [machine.name for machine in found[:3]]
    if not fitting:
        return f"; use a GPU with at least {preset.gpu_memory_gib} GB that computes in BF16"
    return f"; use resource.instanceType {' or '.join(fitting)}"


def _gib(number: int) -> str:
    return f"{number / GIB:.1f} GiB" if number >= GIB // 10 else f"{number / 1024**2:.1f} MiB"
