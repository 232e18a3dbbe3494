"""
Read where the weights of a model come from: the annotation `atelier.dev/weights`.

    image                 in the preset's image, with the server (what holds without the annotation)
    pvc:CLAIM[/FOLDER]    on a PersistentVolumeClaim of the Workspace's namespace, or a folder of it
    oci:IMAGE             in an OCI image of their own, which the node mounts as a volume
    fetch                 from the model hub, when the pod starts

One line of text, so that KAITO's schema stays as it is and an admission policy can judge it by a
pattern. The pattern means the same to Python and to RE2.
Must not import kopf, kubernetes, asyncio, os or time.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from workspace_operator.api.limits import IMAGE

WEIGHTS_ANNOTATION = "atelier.dev/weights"

_REFERENCE = IMAGE.removeprefix("^").removesuffix("$")
_CLAIM = "[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"
# No part begins with a dot: none leads out of the volume.
_FOLDER = "[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
WEIGHTS_PATTERN = f"^(image|fetch|pvc:{_CLAIM}(/{_FOLDER})?|oci:{_REFERENCE})$"
WEIGHTS_REMEDY = (
    "use image, fetch, oci:IMAGE, pvc:CLAIM or pvc:CLAIM/FOLDER, or remove it for those in the "
    "preset's image"
)


class WeightsKind(StrEnum):
    """Say what kind of place weights come from."""

    IMAGE = "image"
    CLAIM = "pvc"
    FETCH = "fetch"
    VOLUME_IMAGE = "oci"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSource:
    """
    Say where weights come from.

    Attributes:
        kind: What kind of place it is.
        claim: Name of the PersistentVolumeClaim, of that kind.
        folder: Where on it they lie; its root where empty.
        reference: Name of the OCI image, of that kind.
    """

    kind: WeightsKind = WeightsKind.IMAGE
    claim: str = ""
    folder: str = ""
    reference: str = ""

    @property
    def elsewhere(self) -> bool:
        """Say whether they come from elsewhere than the preset's image."""
        return self.kind is not WeightsKind.IMAGE

    @property
    def text(self) -> str:
        """Return the annotation's value that means this."""
        match self.kind:
            case WeightsKind.CLAIM:
                place = f"{self.claim}/{self.folder}" if self.folder else self.claim
                return f"{self.kind}:{place}"
            case WeightsKind.VOLUME_IMAGE:
                return f"{self.kind}:{self.reference}"
            case _:
                return str(self.kind)


IN_THE_IMAGE = WeightsSource()


def weights_source(annotations: Mapping[str, str]) -> WeightsSource:
    """Read the annotation; the parser has refused what does not match its pattern."""
    value = annotations.get(WEIGHTS_ANNOTATION, "")
    if not re.search(WEIGHTS_PATTERN, value):
        return IN_THE_IMAGE
    word, _, place = value.partition(":")
    match WeightsKind(word):
        case WeightsKind.CLAIM:
            claim, _, folder = place.partition("/")
            return WeightsSource(kind=WeightsKind.CLAIM, claim=claim, folder=folder)
        case WeightsKind.VOLUME_IMAGE:
            return WeightsSource(kind=WeightsKind.VOLUME_IMAGE, reference=place)
        case kind:
            return WeightsSource(kind=kind)
