"""One row of the table of rules: a bad Workspace, its good counterpart, and what is said of it."""

from dataclasses import dataclass

from tests.workspaces.good import INFERENCE, TUNING, Manifest, merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A bad Workspace, what must be said of it, and one that keeps the same rule."""

    manifest: Manifest
    path: str
    says: str
    good: Manifest
    in_alpha: bool = True


def inference(
    patch: Manifest, path: str, says: str, *, good: Manifest | None = None, in_alpha: bool = True
) -> Bad:
    """Spoil a good Workspace that serves."""
    return Bad(
        manifest=merged(INFERENCE, patch),
        good=merged(INFERENCE, good or {}),
        path=path,
        says=says,
        in_alpha=in_alpha,
    )


def tuning(
    patch: Manifest, path: str, says: str, *, good: Manifest | None = None, in_alpha: bool = True
) -> Bad:
    """Spoil a good Workspace that tunes; patches are of `tuning`, unless that stands in them."""
    bad, mended = (each if "tuning" in each else {"tuning": each} for each in (patch, good or {}))
    return Bad(
        manifest=merged(TUNING, bad),
        good=merged(TUNING, mended),
        path=path,
        says=says,
        in_alpha=in_alpha,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of a stored Workspace that is refused, and one of the same field that is taken."""

    before: Manifest
    bad: Manifest
    path: str
    says: str
    good: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A Workspace that a policy of the chart refuses or warns of, and one that it lets pass."""

    policy: str
    field: str
    bad: Manifest
    good: Manifest
    says: str
    before: Manifest | None = None


def annotated(key: str, value: str | None) -> Manifest:
    """Write an annotation into a good Workspace."""
    annotations = {} if value is None else {key: value}
    return merged(INFERENCE, {"metadata": {"annotations": annotations}})
