"""
What becomes of a pod whose weights are not in its image, played: its scheduler and its kubelet.

Kept from the real ones: a pod of a claim that is not there is not placed, in the scheduler's words;
the server's container waits for the init container that fetches, and that one is started again
after a failure, which stays in its last state meanwhile.
"""

from tests.world.api import Api, Manifest
from tests.world.cloud import condition, now
from tests.world.model import Model

FETCHER = "fetch-weights"


def fetches(pod: Manifest) -> bool:
    return any(each["name"] == FETCHER for each in pod["spec"].get("initContainers", []))


async def missing_claim(api: Api, pod: Manifest) -> str:
    """Name a claim of the pod's volumes that is not there; nothing if all are."""
    namespace = pod["metadata"]["namespace"]
    for volume in pod["spec"].get("volumes", []):
        name = volume.get("persistentVolumeClaim", {}).get("claimName")
        where = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        if name and await api.get(where) is None:
            return str(name)
    return ""


def not_placed(claim: str) -> Manifest:
    """Return the status of a pod that waits for a claim."""
    words = f'0/1 nodes are available: persistentvolumeclaim "{claim}" not found. not found'
    waits = condition("PodScheduled", "False") | {"reason": "Unschedulable", "message": words}
    return {"status": {"phase": "Pending", "conditions": [waits]}}


def while_fetching(pod: Manifest, model: Model, started: str) -> Manifest:
    """Return the status of a pod whose init container fetches, or has just failed."""
    container = pod["spec"]["containers"][0]
    fetcher: Manifest = {
        "name": FETCHER,
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": {"running": {"startedAt": started}},
    }
    if model.fetch_end is not None:
        code, words = model.fetch_end
        end = {"exitCode": code, "reason": "Error", "message": words, "finishedAt": now()}
        fetcher["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        fetcher["lastState"] = {"terminated": end | {"startedAt": started}}
    return {
        "status": {
            "phase": "Pending",
            "podIP": model.listener.address,
            "podIPs": [{"ip": model.listener.address}],
            "startTime": started,
            "conditions": [
                condition("PodReadyToStartContainers", "True"),
                condition("PodScheduled", "True"),
                condition("Initialized", "False"),
                condition("Ready", "False"),
            ],
            "initContainerStatuses": [fetcher],
            "containerStatuses": [
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"waiting": {"reason": "PodInitializing"}},
                }
            ],
        }
    }


def when_fetched(status: Manifest, pod: Manifest, started: str) -> Manifest:
    """Add to a running pod's status that its weights have come."""
    end = {"exitCode": 0, "reason": "Completed", "startedAt": started, "finishedAt": now()}
    fetcher = {
        "name": FETCHER,
        "image": pod["spec"]["containers"][0]["image"],
        "imageID": "",
        "ready": True,
        "restartCount": 0,
        "state": {"terminated": end},
    }
    return {"status": status["status"] | {"initContainerStatuses": [fetcher]}}
