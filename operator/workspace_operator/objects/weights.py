"""
Put the weights where the server looks for them, when they are not in its image.

They are mounted over the folder of the image, read-only, so the same image serves with weights of
its own and with others. The server holds every byte of them against their lock, wherever they come
from.

Must not import the other kinds of `objects`, but for data.
"""

from workspace_operator.api.weights import WeightsKind, WeightsSource
from workspace_operator.objects.data import Supply
from workspace_operator.snapshot import Manifest

# Where the image of a preset has them, and ATELIER_MODEL points (Dockerfile.mistral).
WEIGHTS_FOLDER = "/models/weights"
VOLUME = "weights"


def weights_supply(weights: WeightsSource) -> Supply:
    """Return what brings the weights into a pod; nothing where its image has them."""
    match weights.kind:
        case WeightsKind.IMAGE:
            return Supply()
        case WeightsKind.CLAIM:
            claim = {"claimName": weights.claim, "readOnly": True}
            return Supply(
                volumes=({"name": VOLUME, "persistentVolumeClaim": claim},),
                mounts=(_mount(weights.folder),),
            )


def _mount(folder: str) -> Manifest:
    whole: Manifest = {"name": VOLUME, "mountPath": WEIGHTS_FOLDER, "readOnly": True}
    return whole | ({"subPath": folder} if folder else {})
