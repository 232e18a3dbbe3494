"""
Put Workspaces to a real API server, one HTTP request each, and read its verdict.

kubectl takes a fifth of a second for each; a table of a hundred wants less.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.cluster import ControlPlane
from tests.workspaces.good import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The API server's answer."""

    code: int
    body: Manifest
    warnings: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether the object was taken."""
        return self.code < httpx.codes.BAD_REQUEST

    @property
    def causes(self) -> dict[str, str]:
        """Each refused field with what was said of it."""
        causes = self.body.get("details", {}).get("causes", [])
        return {cause.get("field", ""): cause["message"] for cause in causes}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceClient:
    """Requests for Workspaces in one namespace, under strict field validation."""

    http: httpx.Client
    namespace: str

    def create(self, manifest: Mapping[str, Any], *, keep: bool = False) -> Verdict:
        """Create a Workspace, for good or as a trial."""
        options = {} if keep else {"dryRun": "All"}
        return self._send("POST", self._path(manifest), manifest, options)

    def replace(self, manifest: Mapping[str, Any]) -> Verdict:
        """Write a Workspace over the one that is there."""
        return self._send("PUT", self._path(manifest, self._name(manifest)), manifest, {})

    def patch(
        self, manifest: Mapping[str, Any], patch: Mapping[str, Any], *, at: str = ""
    ) -> Verdict:
        """Merge a patch into the Workspace, or into a subresource of it."""
        path = self._path(manifest, self._name(manifest) + at)
        return self._send("PATCH", path, patch, {})

    def delete(self, manifest: Mapping[str, Any]) -> Verdict:
        """Delete the Workspace."""
        return self._send("DELETE", self._path(manifest, self._name(manifest)), None, {})

    def read(self, manifest: Mapping[str, Any], version: str | None = None) -> Manifest:
        """Read the Workspace, as one version shows it."""
        path = self._path(manifest, self._name(manifest))
        if version is not None:
            path = path.replace(manifest["apiVersion"], f"kaito.sh/{version}")
        return self._send("GET", path, None, {}).body

    def _path(self, manifest: Mapping[str, Any], rest: str = "") -> str:
        return f"/apis/{manifest['apiVersion']}/namespaces/{self.namespace}/workspaces{rest}"

    @staticmethod
    def _name(manifest: Mapping[str, Any]) -> str:
        return f"/{manifest['metadata']['name']}"

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, options: Mapping[str, str]
    ) -> Verdict:
        if body is not None and method != "PATCH":
            body = {**body, "metadata": {**body["metadata"], "namespace": self.namespace}}
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = self.http.request(
            method,
            path,
            params={"fieldValidation": "Strict", **options} if body is not None else None,
            json=body,
            headers={"Content-Type": kind},
        )
        warnings = tuple(answer.headers.get_list("warning"))
        return Verdict(code=answer.status_code, body=answer.json(), warnings=warnings)


@contextmanager
def workspace_client(plane: ControlPlane, namespace: str) -> Iterator[WorkspaceClient]:
    """Open a connection to the API server as its administrator."""
    with httpx.Client(
        base_url=plane.server,
        verify=ssl.create_default_context(cafile=str(plane.certificate)),
        headers={"Authorization": f"Bearer {plane.administrator_token()}"},
    ) as http:
        yield WorkspaceClient(http=http, namespace=namespace)
