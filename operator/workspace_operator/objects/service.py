"""
Give the model one stable address: Service `<name>`, port 80, to every ready pod.

That is port 5000 of a preset; of a pod template the port named http, else the first that a
container declares, else 5000.

Unlike KAITO's, it selects every ready pod, publishes no pod that is still loading, and follows the
annotation `kaito.sh/enablelb` in both directions at any time.

Must not import the other kinds of `objects`.
"""

from workspace_operator.api import Workspace
from workspace_operator.objects.metadata import (
    LOAD_BALANCER_ANNOTATION,
    WORKSPACE_LABEL,
    child_metadata,
    identity_of,
)
from workspace_operator.plan import Plan
from workspace_operator.snapshot import Manifest

SERVICE_PORT = 80
PORT_NAME = "http"


def service(workspace: Workspace, plan: Plan) -> Manifest:
    """Return the Service of a Workspace."""
    wants_balancer = workspace.annotations.get(LOAD_BALANCER_ANNOTATION) == "True"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(identity_of(workspace), workspace.name),
        "spec": {
            "type": "LoadBalancer" if wants_balancer else "ClusterIP",
            "selector": {WORKSPACE_LABEL: workspace.name},
            "ports": [
                {
                    "name": PORT_NAME,
                    "port": SERVICE_PORT,
                    "protocol": "TCP",
                    "targetPort": plan.ports[0],
                }
            ],
        },
    }
