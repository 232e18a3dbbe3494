"""
Implement the port on a real API server: every verb of the operator as one HTTP request.

A list that need not be fresh comes from the API server's cache, yet never without what we have
written ourselves: it asks for nothing older than our last write of that kind.

Two field managers, so that neither apply takes the other's fields away: one for whole objects, one
for status. Deletions carry the uid, status and finalizers are tied to the life that was read.
"""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from workspace_operator.cluster.connection import Connection, Request
from workspace_operator.cluster.errors import Gone, Unreachable
from workspace_operator.cluster.kinds import Kind, Manifest, kind_of, path_of
from workspace_operator.cluster.ownership import FIELD_MANAGER
from workspace_operator.cluster.port import whole

STATUS_FIELD_MANAGER = "atelier-status"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
PAGE = "50"  # one of 500 took 25 MB while it was read
# Source: kubernetes.io/docs/reference/using-api/api-concepts, "Semantics for get and list".
ANY_VERSION = "0"


class ApiServer:
    """Be the `Cluster` that the operator works on."""

    def __init__(
        self,
        connection: Connection,
        *,
        guard: Callable[[], None],
        count_write: Callable[[str, str], None],
        writing: Callable[[Manifest], AbstractContextManager[object]] = nullcontext,
        on_written: Callable[[Manifest], None] = lambda _answer: None,
    ) -> None:
        """
        Share a connection.

        Args:
            connection: Open until this object is no longer used.
            guard: Called before each write, and again when it is about to leave; raises where this
                process may not write.
            count_write: Told the verb and the kind of each write.
            writing: Entered for each write, with what is being written.
            on_written: Told the object as it is after each write.

        """
        self._connection = connection
        self._guard = guard
        self._count_write = count_write
        self._writing = writing
        self._on_written = on_written
        self._newest: dict[str, str] = {}

    async def find(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        """Return the object, or None where it does not exist."""
        path = kind.path(namespace=namespace, name=name)
        try:
            return await self._connection.read(Request(method="GET", path=path, query={}))
        except Gone:
            return None

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
        """Return the objects that the selectors pick, page by page."""
        path = kind.path(namespace=namespace)
        found: list[Manifest] = []
        following = ""
        while True:
            query = {"labelSelector": labels, "fieldSelector": fields, "continue": following}
            known = self._newest.get(kind.kind, ANY_VERSION)
            query |= {"limit": PAGE} if fresh else {"resourceVersion": known}
            asked = {name: value for name, value in query.items() if value}
            page = await self._page(Request(method="GET", path=path, query=asked), kind)
            found += (
                keep({"apiVersion": kind.api_version, "kind": kind.kind, **item})
                for item in page.get("items") or ()
            )
            following = page.get("metadata", {}).get("continue", "")
            if not following:
                return found

    async def _page(self, request: Request, kind: Kind) -> Manifest:
        try:
            return await self._connection.read(request)
        except Unreachable:
            self._newest.pop(kind.kind, None)  # of a past that an API server has lost, perhaps
            raise

    async def apply(self, manifest: Manifest) -> Manifest:
        """Write the fields that we own by server-side apply."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        kind = kind_of(manifest)
        return await self._write("PATCH", kind, path_of(manifest), manifest, query, APPLY)

    async def try_apply(self, manifest: Manifest) -> Manifest:
        """Ask whether `apply` would be accepted, by a dry run: no write, so nobody is asked."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "dryRun": "All"}
        return await self._connection.read(
            Request(
                method="PATCH",
                path=path_of(manifest),
                query=query,
                body=manifest,
                content_type=APPLY,
            )
        )

    async def apply_status(self, manifest: Manifest) -> Manifest:
        """Write the status subresource by server-side apply."""
        query = {"fieldManager": STATUS_FIELD_MANAGER, "force": "true"}
        path = f"{path_of(manifest)}/status"
        return await self._write("PATCH", kind_of(manifest), path, manifest, query, APPLY)

    async def create(self, manifest: Manifest) -> Manifest:
        """Create an object."""
        kind = kind_of(manifest)
        path = kind.path(namespace=manifest["metadata"].get("namespace"))
        return await self._write("POST", kind, path, manifest, {"fieldManager": FIELD_MANAGER})

    async def replace(self, manifest: Manifest) -> Manifest:
        """Replace an object as it was read."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._write("PUT", kind_of(manifest), path_of(manifest), manifest, query)

    async def set_finalizers(self, manifest: Manifest, finalizers: tuple[str, ...]) -> Manifest:
        """Replace the finalizers of an object as it was read."""
        return await self._change_metadata(manifest, {"finalizers": list(finalizers)})

    async def set_managed_fields(self, manifest: Manifest, records: Sequence[Manifest]) -> Manifest:
        """Replace the records of who owns which field of an object as it was read."""
        return await self._change_metadata(manifest, {"managedFields": [*records]})

    async def _change_metadata(self, manifest: Manifest, change: Manifest) -> Manifest:
        metadata = manifest["metadata"]
        life = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
        patch = {"metadata": {**life, **change}}
        query = {"fieldManager": FIELD_MANAGER}
        kind = kind_of(manifest)
        with self._writing(manifest):
            return await self._write("PATCH", kind, path_of(manifest), patch, query, MERGE)

    async def delete(self, kind: Kind, name: str, namespace: str | None, uid: str) -> None:
        """Ask for the deletion of exactly this life of an object."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        path = kind.path(namespace=namespace, name=name)
        with contextlib.suppress(Gone):
            await self._write("DELETE", kind, path, options)

    async def _write(
        self,
        method: str,
        kind: Kind,
        path: str,
        body: Manifest,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        self._guard()
        self._count_write(method.lower(), kind.kind)
        request = Request(
            method=method,
            path=path,
            query=query or {},
            body=body,
            content_type=content_type,
            before_sending=self._guard,
        )
        with self._writing(body):
            answer = await self._connection.send(request)
            self._on_written(answer)
        version = answer.get("metadata", {}).get("resourceVersion", "")
        if version.isdigit():
            self._newest[kind.kind] = max(version, self._newest.get(kind.kind, "0"), key=int)
        return answer
