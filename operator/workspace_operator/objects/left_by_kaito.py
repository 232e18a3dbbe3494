"""
Recognize what KAITO's controller made, and the controller itself.

A Workspace that was KAITO's keeps its claims: their machines are paid for, and fit. Its workload
cannot be kept by applying ours over it, since the fields that we do not name would stay (KAITO's
command in our container, Ray's ports in our Service), so it is replaced whole. And a controller of
KAITO's that runs would delete our Deployments as fast as they are made.

Source: kaito-project/kaito, pkg/workspace/manifests and charts/kaito/workspace at v0.7.2, v0.12.0.
Must not import the other kinds of `objects`, but for metadata.
"""

from workspace_operator.objects.metadata import DESIRED_HASH_ANNOTATION
from workspace_operator.snapshot import Manifest
from workspace_operator.snapshot.reading import mappings, section, strings, text

REVISION_ANNOTATION = "workspace.kaito.io/revision"
FIRST_POD_LABEL = "statefulset.kubernetes.io/pod-name"
SERVICE_PORTS = frozenset({"ray", "dashboard", "kv-events"})

# Labels that KAITO's chart gives its controller, and the image that it runs.
CONTROLLER_SELECTOR = "app.kubernetes.io/name=workspace"
CONTROLLER_IMAGE = "kaito/workspace"


def made_by_kaito(live: Manifest) -> bool:
    """Say whether KAITO made a Deployment or a Service, and we have never written it."""
    annotations = strings(section(live, "metadata").get("annotations"))
    if DESIRED_HASH_ANNOTATION in annotations:
        return False
    spec = section(live, "spec")
    names = {text(port.get("name")) for port in mappings(spec.get("ports"))}
    return (
        REVISION_ANNOTATION in annotations
        or FIRST_POD_LABEL in strings(spec.get("selector"))
        or bool(names & SERVICE_PORTS)
    )


def is_kaitos_controller(deployment: Manifest) -> bool:
    """Say whether a Deployment runs KAITO's controller, and not at zero replicas."""
    if section(deployment, "spec").get("replicas") == 0:
        return False
    containers = mappings(section(deployment, "spec", "template", "spec").get("containers"))
    return any(CONTROLLER_IMAGE in text(each.get("image")) for each in containers)
