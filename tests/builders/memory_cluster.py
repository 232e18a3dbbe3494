"""
A cluster in memory: the port `Cluster`, with one writer of objects and nothing that can fail.

Kept from the real one: an apply replaces what was applied before and keeps what others wrote into
status; uid, generation and resourceVersion move as they do there; a uid in the manifest never
creates. There is no admission: what is wrong is stored, as an object older than a rule would be.
"""

import builtins
import copy
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workspace_operator.cluster import Conflict, Gone, Invalid, Kind, Manifest
from workspace_operator.cluster.kinds import KINDS, kind_of
from workspace_operator.cluster.port import whole

Place = tuple[str, str | None, str]


@dataclass(slots=True)
class MemoryCluster:
    """Hold objects by kind, namespace and name."""

    objects: dict[Place, Manifest] = field(default_factory=dict)
    writes: int = 0
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    async def find(self, kind: Kind, name: str, namespace: str | None = None) -> Manifest | None:
        held = self.objects.get((kind.kind, namespace if kind.namespaced else None, name))
        return copy.deepcopy(held)

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
        _ = fresh
        assert not fields, "no pods of others are looked for here"
        wanted = dict(each.split("=", 1) for each in labels.split(",") if "=" in each)
        return [
            keep(copy.deepcopy(held))
            for (each, place, _), held in self.objects.items()
            if each == kind.kind
            and namespace in (None, place)
            and wanted.items() <= held["metadata"].get("labels", {}).items()
        ]

    async def apply(self, manifest: Manifest) -> Manifest:
        return self.put(manifest)

    async def try_apply(self, manifest: Manifest) -> Manifest:
        for container in manifest["spec"]["template"]["spec"].get("containers", []):
            if not (isinstance(container, dict) and "name" in container and "image" in container):
                raise Invalid("PATCH", "spec.template.spec.containers[0]: Invalid value")
        return manifest

    async def apply_status(self, manifest: Manifest) -> Manifest:
        held = self._held(manifest)
        held["status"] = copy.deepcopy(manifest["status"])
        return self._written(held)

    async def create(self, manifest: Manifest) -> Manifest:
        return self.put(manifest)

    async def replace(self, manifest: Manifest) -> Manifest:
        return self.put(manifest)

    async def set_finalizers(self, manifest: Manifest, finalizers: tuple[str, ...]) -> Manifest:
        held = self._held(manifest)
        held["metadata"]["finalizers"] = list(finalizers)
        return self._written(held)

    async def set_managed_fields(
        self, manifest: Manifest, _records: Sequence[Manifest]
    ) -> Manifest:
        return self._held(manifest)

    async def delete(self, kind: Kind, name: str, namespace: str | None, uid: str) -> None:
        place = (kind.kind, namespace if kind.namespaced else None, name)
        held = self.objects.get(place)
        if held is not None and held["metadata"]["uid"] != uid:
            raise Conflict("DELETE", "another life")
        self.writes += 1
        self.objects.pop(place, None)

    def put(self, manifest: Manifest) -> Manifest:
        """Store an object as its owner wrote it, with what the API server adds."""
        place = _place(manifest)
        before = self.objects.get(place)
        if before is None and "uid" in manifest["metadata"]:
            raise Conflict("PATCH", "it is gone")
        stored = copy.deepcopy(manifest)
        facts: Manifest = before["metadata"] if before else {"uid": f"uid-{next(self._numbers)}"}
        same = before is not None and _spec(before) == _spec(stored)
        generation = facts.get("generation", 0) + (0 if same else 1)
        stored["metadata"] |= {
            "uid": facts["uid"],
            "generation": generation,
            "creationTimestamp": "2026-03-01T10:00:00Z",
        }
        if before and "finalizers" in before["metadata"]:
            stored["metadata"].setdefault("finalizers", before["metadata"]["finalizers"])
        if before and "status" in before:
            stored["status"] = before["status"]
        self.objects[place] = stored
        return self._written(stored)

    def of(self, kind: str) -> builtins.list[Manifest]:
        """Return the stored objects of a kind, for a test to look at or to change."""
        return [held for (each, _, _), held in self.objects.items() if each == kind]

    def _held(self, manifest: Manifest) -> Manifest:
        held = self.objects.get(_place(manifest))
        if held is None:
            raise Gone("PATCH", "it does not exist")
        return held

    def _written(self, held: Manifest) -> Manifest:
        self.writes += 1
        held["metadata"]["resourceVersion"] = str(next(self._numbers))
        return copy.deepcopy(held)


def _place(manifest: Manifest) -> Place:
    kind = KINDS[manifest["apiVersion"], manifest["kind"]] if "kind" in manifest else None
    namespaced = kind is None or kind_of(manifest).namespaced
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace") if namespaced else None, metadata["name"]


def _spec(manifest: Manifest) -> Manifest:
    return {key: manifest[key] for key in manifest if key not in ("metadata", "status")}
