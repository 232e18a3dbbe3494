"""
Read to which repository of a model hub a tuning uploads its adapter, beside its output.

KAITO's `tuning.output` has an image or a volume, and a third member would make a manifest that
KAITO refuses: so it is an annotation, and what `output` says holds with and without it
(docs/adr/0011). The token is the one that the preset names for the hub already.
Must not import kopf, kubernetes, asyncio, os or time.
"""

from collections.abc import Iterator, Mapping

from model_presets.destination import Destination, InvalidDestination, read_destination

from workspace_operator.api.violation import Violation
from workspace_operator.api.workspace import Workspace

OUTPUT_ANNOTATION = "atelier.dev/output-repository"
SECRET_FIELD = "tuning.preset.presetOptions.modelAccessSecret"  # noqa: S105 - a path
NEEDS_A_SECRET = (
    f"annotation {OUTPUT_ANNOTATION} needs the Secret whose key HF_TOKEN may write to that "
    "repository: name it here"
)
NEEDS_A_TUNING = "is for a Workspace with tuning, whose adapter is uploaded: remove it"


def output_repository(annotations: Mapping[str, str]) -> Destination | None:
    """Return where the adapter is uploaded; the parser has refused what names no repository."""
    value = annotations.get(OUTPUT_ANNOTATION)
    if value is None:
        return None
    try:
        return read_destination(value)
    except InvalidDestination:
        return None


def output_repository_rules(workspace: Workspace) -> Iterator[Violation]:
    """Give every broken rule of the annotation but its spelling."""
    if OUTPUT_ANNOTATION not in workspace.annotations:
        return
    tuning = workspace.tuning
    if tuning is None:
        yield Violation(path=f"metadata.annotations[{OUTPUT_ANNOTATION}]", why=NEEDS_A_TUNING)
        return
    options = tuning.preset.preset_options if tuning.preset else None
    if options is None or not options.model_access_secret:
        yield Violation(path=SECRET_FIELD, why=NEEDS_A_SECRET)
