"""
Decide what runs on a node: which image, with which flags, and how long it may take to finish.

Must not import the other files of `plan` but the config and the refusal.
"""

import math

from model_presets.preset import Preset

from workspace_operator.api import Workspace
from workspace_operator.instance_types import Gpu
from workspace_operator.memory_fit import MemoryFit, gpus_in_use
from workspace_operator.plan.config import DRAIN_SECONDS as DRAIN_KEY
from workspace_operator.plan.config import (
    MAX_MODEL_LEN,
    MERGE_ADAPTERS,
    RANGES,
    InferenceConfig,
)
from workspace_operator.plan.refusal import PlanError
from workspace_operator.settings import Settings

MODEL_PORT = 5000
# Source: kaito-project/kaito, pkg/workspace/manifests at v0.12.0.
ADAPTER_FOLDER = "/mnt/adapter"

# The server measures what is left beside the weights, and refuses a context that it cannot hold.
SAFE_SHARE = 0.9

# An answer of this length may be under way when a pod is told to go.
DRAIN_TOKENS = 2048
# A decode step reads all weights once; a busy batch and the cache make it slower than the memory
# alone.
DRAIN_SLOWNESS = 2.0
DRAIN_SECONDS = range(30, 301)


def image(workspace: Workspace, preset: Preset, settings: Settings) -> str:
    """Return what the pod runs: the user's own image, or that of the preset."""
    asked = workspace.inference.preset if workspace.inference else None
    options = asked.preset_options if asked else None
    return (options.image if options else None) or settings.image_for(preset.name)


def server_arguments(
    preset: Preset, fit: MemoryFit, drain_seconds: int, config: InferenceConfig
) -> tuple[str, ...]:
    """Return the flags of the server; what the user tunes comes last."""
    flags = {"preset": preset.name, "port": MODEL_PORT, DRAIN_KEY: drain_seconds}
    longest = _sure_context(preset, fit)
    if longest is not None and longest < preset.context_length:
        flags[MAX_MODEL_LEN] = longest
    for key in RANGES:
        if key in config.values:
            flags[key] = config.values[key]
    return tuple(f"--{name}={value}" for name, value in flags.items())


def adapter_arguments(workspace: Workspace, config: InferenceConfig) -> tuple[str, ...]:
    """
    Return the flags that name the adapters, their weights and whether all are merged.

    Raises:
        PlanError: They are to be merged, and there are none.
    """
    flags = []
    for adapter in workspace.inference.adapters if workspace.inference else ():
        name = adapter.source.name if adapter.source else None
        if name:
            flags.append(f"--adapter={name}={ADAPTER_FOLDER}/{name}")
            if adapter.strength is not None:
                flags.append(f"--adapter-strength={name}={adapter.strength}")
    if MERGE_ADAPTERS in config.switches:
        if not flags:
            raise PlanError(
                "ConfigInvalid",
                f"{config.where(MERGE_ADAPTERS)}: there is nothing to merge; name adapters in "
                "inference.adapters, or remove the key",
            )
        flags.append(f"--{MERGE_ADAPTERS}")
    return tuple(flags)


def longest_context(preset: Preset, fit: MemoryFit) -> int | None:
    """Return the longest request that surely fits; none where a window or nobody knows the end."""
    if preset.sliding_window or fit.kv_tokens is None:
        return None
    return int(fit.kv_tokens * SAFE_SHARE)


def _sure_context(preset: Preset, fit: MemoryFit) -> int | None:
    """Return the same where nobody insists on one: with room for adapters of any usual size."""
    longest = longest_context(preset, fit)
    if longest is None or fit.sure_tokens is None:
        return longest
    return min(longest, max(int(fit.sure_tokens * SAFE_SHARE), fit.required_tokens))


def drain_seconds(preset: Preset, gpu: Gpu | None, gpus: int) -> int:
    """
    Return how long the longest answer that is under way takes.

    Mistral 7B on an A10: 2,048 tokens x 14.5 GB / 600 GB/s x 2 = 99 s; on an A100 31 s.
    """
    if gpu is None:
        return DRAIN_SECONDS.start
    used = max(1, gpus_in_use(preset, gpus))
    step = preset.weight_bytes / used / gpu.bandwidth_bytes_per_second
    seconds = math.ceil(DRAIN_TOKENS * step * DRAIN_SLOWNESS)
    return min(max(seconds, DRAIN_SECONDS.start), DRAIN_SECONDS.stop - 1)
