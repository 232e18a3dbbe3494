"""
Which Kubernetes a command gets, and the guard that keeps us off everybody else's.

The order: a context that the user names, and only then a cluster that exists already; kind, where
Docker's engine answers; else a cluster of our own, from binaries the user named or built from Go
modules. Invariant: what is not named and not ours is never written to. `require_own_context` says
so for every caller that is handed a kubeconfig.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.surroundings import clusters_directory


class ForeignContextError(RuntimeError):
    """A kubeconfig leads to a cluster that we did not make and that nobody named."""


class Provider(StrEnum):
    """Who runs the cluster."""

    AUTO = "auto"  # the order above
    OWN = "own"
    KIND = "kind"
    EXISTING = "existing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a kubeconfig's current context leads to."""

    context: str
    server: str


def choose(
    asked: Provider, *, needs_nodes: bool, context: str | None, kind_works: Callable[[], bool]
) -> Provider:
    """
    Return who runs the cluster.

    Args:
        asked: what the user wants; AUTO follows the order of this file.
        needs_nodes: whether pods must run; an API server alone is always our own.
        context: a context that the user named.
        kind_works: asked at most once, and only where the answer matters.
    """
    if context is not None:
        if asked not in (Provider.AUTO, Provider.EXISTING):
            raise ForeignContextError(
                f"context {context!r} is named and provider {asked!r} as well: name one of them"
            )
        return Provider.EXISTING
    if asked is Provider.EXISTING:
        raise ForeignContextError("an existing cluster is used only by name: give --context NAME")
    if asked is not Provider.AUTO:
        return asked
    return Provider.KIND if needs_nodes and kind_works() else Provider.OWN


def target(kubeconfig: Path) -> Target:
    """
    Return where the current context of a kubeconfig leads to.

    Raises:
        ForeignContextError: it has no current context, or that leads nowhere.
    """
    config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text()) or {}
    name = config.get("current-context") or ""
    context = _named(config, "contexts", name).get("context", {})
    cluster = _named(config, "clusters", context.get("cluster", "")).get("cluster", {})
    if not cluster.get("server"):
        raise ForeignContextError(f"{kubeconfig}: current-context {name!r} leads to no server")
    return Target(context=name, server=str(cluster["server"]))


def require_own_context(kubeconfig: Path, *, named: str | None = None) -> Target:
    """
    Refuse a kubeconfig whose current context is neither a cluster of ours nor the one named.

    Args:
        kubeconfig: the file that something is about to be written through.
        named: the context that the user named (`--context`, ATELIER_CONTEXT), if any.

    Raises:
        ForeignContextError: it is somebody else's.
    """
    found = target(kubeconfig)
    ours = {target(path) for path in clusters_directory().glob("*/kubeconfig")}
    if found.context == named or found in ours:
        return found
    raise ForeignContextError(
        f"{kubeconfig} leads to context {found.context!r} at {found.server}, which is no throw-away"
        f" cluster of this project; to use it all the same, name it: --context {found.context}"
        f" or ATELIER_CONTEXT={found.context}"
    )


def _named(config: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    entries = config.get(section) or []
    return next((entry for entry in entries if entry.get("name") == name), {})
