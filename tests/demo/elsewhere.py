"""
Weights that are not in the server's image: one Workspace for each place that they may come from.

The image that serves has none (`PRESET=none`). The volume and the image volume hold the files of
tiny-mistral's own image. The hub is played (tests/model_hub) and holds them as another repository's
revision, in one file of float32 that is long enough to be watched: the same numbers, so the same
answers. Another folder of the volume has a wrong byte.

Nodes, kubelets and containerd are real; it is containerd 2, for 1.6 knows no image volumes.
"""

import hashlib
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from model_presets.catalog import load_catalog
from model_presets.lock import LOCK_NAME
from safetensors.torch import load_file, save_file

from tests.cluster import container_runtime, machine_image
from tests.cluster.control_plane import ControlPlane
from tests.cluster.image_archive import ImageFile, ImageSettings, write_image
from tests.cluster.images_import import NAMESPACE
from tests.cluster.node_cluster import NodeCluster
from tests.demo.line import CHART, OPERATOR_NAMESPACE, OPERATOR_SECONDS, RELEASE, WORKSPACE_SECONDS
from tests.demo.narration import Narration
from tests.demo.teaching import workspace
from tests.demo.watching import POLL_SECONDS, Status, WorkspaceStuckError, follow, unmet
from tests.images import Image, build_images
from tests.images.unpacked import take_folder
from tests.model_hub import Hub

BASE = "tiny-mistral"
FETCHED = load_catalog().get("mistral-7b-instruct")  # a preset that a hub is asked for
SERVER = "model-server"
WEIGHTS_IMAGE = "docker.io/atelier/tiny-mistral-weights:1"
CLAIM = "models"
SOUND, BROKEN = "sound", "broken"  # folders on the volume
FROM_VOLUME, FROM_IMAGE, FROM_HUB, REFUSED = "from-volume", "from-image", "from-hub", "refused"
WORKSPACES = {FROM_VOLUME: BASE, FROM_IMAGE: BASE, FROM_HUB: FETCHED.name, REFUSED: BASE}
MODEL_FILE = "model.safetensors"
# The hub falls silent a little after this, the second MiB of the model's file: the client writes
# whole ones.
PART_BYTES = 2 << 20
HELD_AT = PART_BYTES + 1000
STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """
    Hold where weights are, before a Workspace asks for them.

    Attributes:
        volume: Folder that becomes a PersistentVolume.
        wrong_file: Name of the file in its broken folder that has a wrong byte.
        hub: Has the revision of `FETCHED`; not served yet.
    """

    volume: Path
    wrong_file: str
    hub: Hub

    @property
    def total_bytes(self) -> int:
        """What is to be fetched."""
        return sum(map(len, self.hub.files.values()))

    @property
    def held_bytes(self) -> int:
        """What has been fetched when the hub is silent: the small files, and whole chunks."""
        beside = self.total_bytes - len(self.hub.files[MODEL_FILE])
        return beside + PART_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """
    Hold what came of it.

    Attributes:
        cluster: Where the Workspaces are.
        statuses: The last status that was read of each, by name.
        counted: The status of the one that fetches, at the moment its container was killed.
        places: Where the weights were.
    """

    cluster: NodeCluster
    statuses: dict[str, Status]
    counted: Status
    places: Places


@dataclass(kw_only=True)
class FetchWatch:
    """Kill the container that fetches, once, when the status has counted what it has fetched."""

    cluster: NodeCluster
    held_bytes: int
    counted: Status = field(default_factory=dict)

    def __call__(self, status: Status) -> None:
        """Look at one status of the Workspace."""
        download = status.get("download") or {}
        is_held = download.get("bytes") == self.held_bytes and "secondsLeft" in download
        if is_held and not self.counted:
            self.counted = status
            self._kill()

    def _kill(self) -> None:
        pod = pod_of(self.cluster.plane, FROM_HUB)
        (fetcher,) = pod["status"]["initContainerStatuses"]
        container: str = fetcher["containerID"].removeprefix("containerd://")
        task = ("ctr", "--namespace", NAMESPACE, "tasks", "kill", "--signal", "SIGKILL", container)
        self.cluster.machine(pod["spec"]["nodeName"]).run(*task)


def prepare(folder: Path) -> Places:
    """Write the volume and fill the hub, from the weights of tiny-mistral's own image."""
    volume = folder / "volume"
    sound, broken = volume / SOUND, volume / BROKEN
    sound.mkdir(parents=True)
    take_folder(build_images([BASE])[BASE].archive, "/models/weights", sound)
    shutil.copytree(sound, broken)
    wrong = min(broken.glob("*.safetensors"))
    content = bytearray(wrong.read_bytes())
    content[-1] ^= 1
    wrong.write_bytes(content)
    return Places(volume=volume, wrong_file=wrong.name, hub=_hub(sound, folder / MODEL_FILE))


def run(cluster: NodeCluster, places: Places, story: Narration) -> Elsewhere:
    """
    Do every step, telling it, and leave the Workspaces running.

    Args:
        cluster: With the operator in it.
        places: Where the weights are; the hub is reachable from the cluster's pods.
        story: Told each step.

    Raises:
        WorkspaceStuckError: One of them did not succeed; the message has its conditions.
    """
    plane, endpoint = cluster.plane, places.hub.endpoint
    with story.step("Machines: containerd 2; a server without weights, weights without a server"):
        server = _choose_disk(cluster, places.volume / SOUND)
        container_runtime.choose_version_2(cluster.directory)
    with story.step(f"Operator: helm upgrade, with the hub at {endpoint}"):
        plane.helm(
            *("upgrade", RELEASE, str(CHART), "--namespace", OPERATOR_NAMESPACE, "--reuse-values"),
            *("--set", f"hubEndpoint={endpoint}", "--wait", f"--timeout={OPERATOR_SECONDS}s"),
            timeout_seconds=OPERATOR_SECONDS + 10,
        )
    statuses: dict[str, Status] = {}
    watch = FetchWatch(cluster=cluster, held_bytes=places.held_bytes)
    with story.step(f"Workspace {FROM_HUB}: {FETCHED.name}, fetched when its pod starts"):
        plane.apply([*volume_and_claim(places.volume), *workspaces(server)])
        statuses[FROM_HUB] = follow(
            plane, FROM_HUB, deadline_seconds=WORKSPACE_SECONDS, say=story.say, look=watch
        )
    with story.step(f"Workspaces {FROM_VOLUME} and {FROM_IMAGE}: {BASE}"):
        for name in (FROM_VOLUME, FROM_IMAGE):
            statuses[name] = follow(plane, name, deadline_seconds=WORKSPACE_SECONDS, say=story.say)
    with story.step(f"Workspace {REFUSED}: a wrong byte on the volume"):
        statuses[REFUSED] = _refusal(plane)
        story.say(unmet(statuses[REFUSED]))
    return Elsewhere(cluster=cluster, statuses=statuses, counted=watch.counted, places=places)


def volume_and_claim(folder: Path) -> list[dict[str, Any]]:
    """Return a folder that every machine sees as a PersistentVolume, and the claim on it."""
    size = {"storage": "1Gi"}
    shared = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    return [
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": CLAIM},
            "spec": shared
            | {
                "capacity": size,
                "hostPath": {"path": str(folder), "type": "Directory"},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM},
            "spec": shared | {"resources": {"requests": size}, "volumeName": CLAIM},
        },
    ]


def workspaces(server: Image) -> list[dict[str, Any]]:
    """Return the Workspaces: the same server for each, and a place for its weights."""
    sources = {
        FROM_HUB: "fetch",
        FROM_VOLUME: f"pvc:{CLAIM}/{SOUND}",
        FROM_IMAGE: f"oci:{WEIGHTS_IMAGE}",
        REFUSED: f"pvc:{CLAIM}/{BROKEN}",
    }
    options = {"image": server.reference}
    return [
        workspace(
            name,
            {"atelier.dev/weights": source},
            inference={"preset": {"name": WORKSPACES[name], "presetOptions": options}},
        )
        for name, source in sources.items()
    ]


def pod_of(plane: ControlPlane, name: str) -> dict[str, Any]:
    """Return the one pod of a Workspace."""
    pods: list[dict[str, Any]] = plane.read("get", "pods", "-l", f"kaito.sh/workspace={name}")[
        "items"
    ]
    (pod,) = pods
    return pod


def _hub(folder: Path, whole: Path) -> Hub:
    """Return a hub with weights as a preset's pinned revision, all tensors in one file."""
    tensors = {
        name: tensor.float()
        for shard in folder.glob("*.safetensors")
        for name, tensor in load_file(shard).items()
    }
    save_file(tensors, whole, metadata={"format": "pt"})
    small = {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if ".safetensors" not in path.suffixes and path.name != LOCK_NAME
    }
    return Hub(
        repo=FETCHED.repo,
        revision=FETCHED.revision,
        files=small | {MODEL_FILE: whole.read_bytes()},
        hold_at={MODEL_FILE: HELD_AT},
    )


def _choose_disk(cluster: NodeCluster, weights: Path) -> Image:
    """Let machines start with the server's image and one of weights; return the server's."""
    server = build_images([SERVER])[SERVER]
    archive = weights.parent.with_name("weights.tar")
    files = [
        ImageFile(path=PurePosixPath("/") / path.name, content=path.read_bytes(), mode=0o644)
        for path in weights.iterdir()
    ]
    write_image(archive, ImageSettings(name=WEIGHTS_IMAGE, entrypoint=("/none",)), files)
    content = hashlib.sha256(archive.read_bytes()).hexdigest()
    key = f"{server.digest.removeprefix('sha256:')[:12]}-weights-{content[:12]}"
    disk = machine_image.make(cluster.directory, cluster.block, [server.archive, archive], key=key)
    machine_image.choose(cluster.directory, disk)
    return server


def _refusal(plane: ControlPlane) -> Status:
    """Wait until a status says that weights were refused."""
    deadline = time.monotonic() + WORKSPACE_SECONDS
    status: Status = {}
    while time.monotonic() < deadline:
        status = plane.read("get", "workspace", REFUSED).get("status") or {}
        if "WeightsRefused" in {each["reason"] for each in status.get("conditions") or ()}:
            return status
        time.sleep(POLL_SECONDS)
    raise WorkspaceStuckError(f"workspace {REFUSED}: its weights were not refused\n{unmet(status)}")
