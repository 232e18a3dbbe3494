"""
Say what the operator may ask of a cluster, and which errors it must expect.

Every method may raise `Throttled`, `Forbidden`, `Unreachable` and `Invalid`; what else, each method
says. Reads are fresh (answered from a quorum) unless asked otherwise, and tried again by
themselves; writes are sent once, because only the caller knows whether the world has moved on.
Every write first asks the guard whether this process still holds the Lease.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from workspace_operator.cluster.kinds import Kind, Manifest


def whole(manifest: Manifest) -> Manifest:
    """Keep an object as it is."""
    return manifest


class Cluster(Protocol):
    """Read and write the objects of a cluster."""

    async def find(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """Return the object, or None where it does not exist."""

    async def list(
        self,
        kind: Kind,
        *,
        namespace: str | None = None,
        labels: str = "",
        fields: str = "",
        fresh: bool = True,
        keep: Callable[[Manifest], Manifest] = whole,
    ) -> list[Manifest]:
        """
        Return the objects that the selectors pick, each with apiVersion and kind.

        Of each object only what `keep` returns stays in memory, which matters for lists of
        everything: a thousand Workspaces are 60 MB while they are Python's.

        One that need not be `fresh` may come from the API server's cache and be behind, though it
        has what was written through this port: it is good for finding names, and what is decided
        on must then be read by name.

        Raises:
            Gone: The cluster does not serve this kind.

        """

    async def apply(self, manifest: Manifest) -> Manifest:
        """
        Write the fields that we own by server-side apply; create the object where there is none.

        A manifest that carries `metadata.uid` never creates: without it, applying to an object that
        was deleted a moment ago would bring a ghost to life.

        Raises:
            Conflict: The object has another uid or is gone, though the manifest carries one.
            Gone: Its namespace, or its kind, does not exist.

        """

    async def try_apply(self, manifest: Manifest) -> Manifest:
        """
        Ask whether `apply` would be accepted, and what would be stored, without storing anything.

        Raises:
            Forbidden: A policy or a missing right refuses it.
            Gone: Its namespace, or its kind, does not exist.

        """

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """
        Write the status subresource by server-side apply, as a manager of its own.

        Raises:
            Conflict: The object has another uid than the manifest.
            Gone: It does not exist any more.

        """

    async def create(self, manifest: Manifest) -> Manifest:
        """
        Create an object.

        Raises:
            Conflict: One of that name exists.
            Gone: Its namespace, or its kind, does not exist.

        """

    async def replace(self, manifest: Manifest) -> Manifest:
        """
        Replace an object, which carries the resourceVersion that it was read with.

        Raises:
            Conflict: Somebody wrote since.
            Gone: It does not exist any more.

        """

    async def set_finalizers(self, manifest: Manifest, finalizers: tuple[str, ...]) -> Manifest:
        """
        Replace the finalizers of an object as it was read.

        Raises:
            Conflict: Somebody wrote since; read again.
            Gone: It does not exist any more.

        """

    async def set_managed_fields(self, manifest: Manifest, records: Sequence[Manifest]) -> Manifest:
        """
        Replace the records of who owns which field of an object as it was read.

        Raises:
            Conflict: Somebody wrote since; read again.
            Gone: It does not exist any more.

        """

    async def delete(self, kind: Kind, name: str, namespace: str | None, uid: str) -> None:
        """
        Ask for the deletion of exactly this life (uid) of an object; one that is gone is fine.

        Raises:
            Conflict: An object of that name lives, but it is another one.

        """


async def find_all(cluster: Cluster, kind: Kind, names: Iterable[str]) -> list[Manifest]:
    """Read the named objects of a kind without namespaces all at once; return those that exist."""
    found = await asyncio.gather(*(cluster.find(kind, name) for name in sorted(names)))
    return [manifest for manifest in found if manifest is not None]
