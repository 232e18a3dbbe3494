"""
Name, label and own the objects of a Workspace: the single home of every label and annotation key.

A NodeClaim is cluster-scoped, so no owner reference can hold it to a Workspace; labels, a name that
can be worked out again, and the Workspace's UID in an annotation do. The name carries the UID, so a
Workspace that was deleted and made again never takes the old one's machine for its own.

Invariant: the same Workspace, ordinal and attempt always give the same name.
Must not import the other files of `objects`.
"""

import hashlib
import json
from dataclasses import dataclass

from workspace_operator.api import GROUP, KIND, STORED_VERSION, Workspace
from workspace_operator.snapshot import Manifest
from workspace_operator.snapshot.pods import REVISION_ANNOTATION
from workspace_operator.snapshot.reading import mappings, section, strings

# Source: kaito-project/kaito, api/v1beta1/labels.go at v0.12.0.
WORKSPACE_LABEL = "kaito.sh/workspace"
WORKSPACE_NAMESPACE_LABEL = "kaito.sh/workspacenamespace"
NODE_POOL_LABEL = "karpenter.sh/nodepool"
NODE_POOL = "kaito"
LOAD_BALANCER_ANNOTATION = "kaito.sh/enablelb"
IMAGE_FAMILY_ANNOTATION = "kaito.sh/node-image-family"
DO_NOT_DISRUPT_ANNOTATION = "karpenter.sh/do-not-disrupt"

# Ours, below the API's group so that no other project's keys can be the same.
UID_ANNOTATION = "atelier.kaito.sh/workspace-uid"
ORDINAL_ANNOTATION = "atelier.kaito.sh/ordinal"
DESIRED_HASH_ANNOTATION = "atelier.kaito.sh/desired-hash"
TRAINING_ANNOTATION = "atelier.kaito.sh/training"
BACKED_OUT_ANNOTATION = "atelier.kaito.sh/backed-out"
BACKED_OUT_WHY_ANNOTATION = "atelier.kaito.sh/backed-out-why"
CONFIG_HASH_ANNOTATION = REVISION_ANNOTATION

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "atelier"
NAME_LABEL = "app.kubernetes.io/name"

# 60 bits: two claims of a million share a name with a probability of 4e-7.
CLAIM_NAME_DIGITS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Name one Workspace, also one whose spec cannot be read."""

    name: str
    namespace: str
    uid: str


def identity_of(workspace: Workspace) -> Identity:
    """Return the identity of a parsed Workspace."""
    return Identity(name=workspace.name, namespace=workspace.namespace, uid=workspace.uid)


def claim_name(owner: Identity, ordinal: int, attempt: int) -> str:
    """Return the name of the NodeClaim for one node of a Workspace, and one try to get it."""
    key = "/".join((owner.namespace, owner.name, owner.uid, str(ordinal), str(attempt)))
    return f"ws{hashlib.sha256(key.encode()).hexdigest()[:CLAIM_NAME_DIGITS]}"


def claim_labels(owner: Identity) -> dict[str, str]:
    """Return the labels that tie a NodeClaim, and the node it becomes, to its Workspace."""
    return {WORKSPACE_LABEL: owner.name, WORKSPACE_NAMESPACE_LABEL: owner.namespace}


def child_metadata(owner: Identity, name: str) -> Manifest:
    """Return the metadata of an object in the Workspace's own namespace, which it owns."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": {
            WORKSPACE_LABEL: owner.name,
            MANAGED_BY_LABEL: MANAGED_BY,
            NAME_LABEL: owner.name,
        },
        # NB: not `blockOwnerDeletion`. The finalizer deletes the children itself, and an API server
        # that enforces who may block a deletion refuses the reference for as long as it has not
        # noticed the definition: a minute of "forbidden" after an installation.
        "ownerReferences": [
            {
                "apiVersion": f"{GROUP}/{STORED_VERSION}",
                "kind": KIND,
                "name": owner.name,
                "uid": owner.uid,
                "controller": True,
            }
        ],
    }


def is_ours(owner: Identity, live: Manifest) -> bool:
    """
    Say whether an object of the Workspace's namespace belongs to this Workspace.

    An owner reference decides; an object without any controller is ours by its label alone, which a
    restored backup or an older operator may have left.
    """
    metadata = section(live, "metadata")
    references = mappings(metadata.get("ownerReferences"))
    if any(reference.get("uid") == owner.uid for reference in references):
        return True
    if any(reference.get("controller") for reference in references):
        return False
    return strings(metadata.get("labels")).get(WORKSPACE_LABEL) == owner.name


def digest(value: object) -> str:
    """Return the SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def with_desired_hash(manifest: Manifest) -> Manifest:
    """Return the manifest with its own hash in it, so that a field that was dropped is noticed."""
    metadata = section(manifest, "metadata")
    marked = {**strings(metadata.get("annotations")), DESIRED_HASH_ANNOTATION: digest(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": marked}}
