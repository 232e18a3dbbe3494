"""
Say what weights from elsewhere than the image take: disk of the node, and a flag of the server.

Must not import the other files of `plan`.
"""

import math

from model_presets.preset import Preset

from workspace_operator.api.weights import WeightsKind, WeightsSource
from workspace_operator.instance_types import GIB

# Config, tokenizer, the headers of the files.
BESIDE_WEIGHTS_GIB = 1


def weights_arguments(weights: WeightsSource) -> tuple[str, ...]:
    """Return the flag that refuses weights which nobody has locked, where others bring them."""
    return ("--require-lock",) if weights.elsewhere else ()


def node_disk_gib(preset: Preset, weights: WeightsSource) -> int:
    """Return the disk of a node for weights beside the image, which may have its own."""
    if weights.kind is WeightsKind.VOLUME_IMAGE:
        return math.ceil(preset.weight_bytes / GIB) + BESIDE_WEIGHTS_GIB
    return fetched_gib(preset, weights)


def fetched_gib(preset: Preset, weights: WeightsSource) -> int:
    """
    Return the disk that a pod may fill with weights.

    A revision that holds pickled shards only has both kinds on disk while they are converted.
    Mistral 7B: 2 x 13.5 GiB and one for the rest, 28 GiB.
    """
    if weights.kind is not WeightsKind.FETCH:
        return 0
    return math.ceil(2 * preset.weight_bytes / GIB) + BESIDE_WEIGHTS_GIB
