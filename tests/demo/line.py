"""
The whole line, from nothing to an answer: cluster, images, operator, manifest, node, pod, question.

`make demo` tells it to a person and the end-to-end test runs the same steps and looks closer, so
what the demo shows is what is tested. Everything is real but the cloud and the GPU, and `STAND_INS`
says so.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import machine_image, node_cluster
from tests.cluster.binaries import ensure
from tests.cluster.control_plane import ControlPlane
from tests.cluster.images_import import Progress, import_image
from tests.cluster.node_cluster import NodeCluster
from tests.demo.asking import Answer, chat, forwarded
from tests.demo.narration import Narration
from tests.demo.watching import Status, follow
from tests.images import Image, build_images

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "atelier"
MANIFEST = ROOT / "examples" / "tiny-mistral-gpu.yaml"
WORKSPACE = "tiny-mistral"
RELEASE = "atelier"
OPERATOR_NAMESPACE = "atelier-system"
QUESTION = "Why is the sky blue?"

STEPS = 7
OPERATOR_SECONDS = 120
WORKSPACE_SECONDS = 300
REPORT_SECONDS = 5.0

STAND_INS = """\
What is real: kube-apiserver, scheduler, controllers, two kubelets with containerd and runc,
Helm, the operator and the model's pod from the images of Dockerfile.operator and
Dockerfile.mistral, and the answer.
What stands in:
- the cloud: a local machine provider answers the NodeClaim with a real second node, here;
- the GPU: `nvidia.com/gpu: 1` is written into that node's status; the model runs on the CPU;
- the model: tiny-mistral, a real Mistral of 0.8 million parameters: it knows one page by heart;
- the image registry: images come as the disk that a machine boots from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the line came to."""

    cluster: NodeCluster
    status: Status
    answer: Answer


def run(name: str, story: Narration) -> Outcome:
    """
    Do every step, telling it, and leave the cluster running.

    Args:
        name: of the cluster; one of that name is replaced.
        story: told each step.

    Raises:
        WorkspaceStuckError: The Workspace did not succeed; the message has its conditions.
    """
    with story.step("Programs: Kubernetes, Helm (built once from Go modules)"):
        ensure([*node_cluster.PROGRAMS, "helm"])
    with story.step("Images: operator and tiny-mistral (built once from the Dockerfiles)"):
        images = build_images(["operator", WORKSPACE])
        for image in images.values():
            story.say(f"{image.reference}  {image.digest}  {image.bytes / 1e9:.2f} GB")
    with story.step("Cluster: control plane and one real node"):
        node_cluster.down(name)
        cluster = node_cluster.up(name)
        story.say(f"export KUBECONFIG={cluster.plane.kubeconfig}")
    with story.step("Disks: the images, where a registry would hand them out"):
        load(cluster, images, story)
    with story.step("Operator: helm install"):
        install(cluster.plane)
        story.say(cluster.plane.kubectl("get", "pods", "-n", OPERATOR_NAMESPACE).stdout.rstrip())
    with story.step(f"Workspace: kubectl apply -f {MANIFEST.relative_to(ROOT)}"):
        cluster.plane.apply(MANIFEST)
        status = follow(cluster.plane, WORKSPACE, deadline_seconds=WORKSPACE_SECONDS, say=story.say)
    with (
        story.step(f"Question, through the Service: {QUESTION}"),
        forwarded(cluster.plane, WORKSPACE) as url,
    ):
        answer = chat(url, WORKSPACE, QUESTION, max_tokens=48)
    return Outcome(cluster=cluster, status=status, answer=answer)


def load(cluster: NodeCluster, images: dict[str, Image], story: Narration) -> None:
    """Bring the operator's image to the node that stands, the model's to those that will come."""
    reporter = _ImportReport(story)
    import_image(cluster.machine(node_cluster.SYSTEM_NODE), images["operator"].archive, reporter)
    model = images[WORKSPACE]
    disk = machine_image.make(
        cluster.directory,
        cluster.block,
        [model.archive],
        key=model.digest.removeprefix("sha256:")[:16],
        report=reporter,
    )
    machine_image.choose(cluster.directory, disk)


def install(plane: ControlPlane) -> None:
    """Install the chart and wait until the operator is ready."""
    plane.helm(
        "install",
        RELEASE,
        str(CHART),
        "--namespace",
        OPERATOR_NAMESPACE,
        "--create-namespace",
        "--wait",
        f"--timeout={OPERATOR_SECONDS}s",
        timeout_seconds=OPERATOR_SECONDS + 10,
    )


class _ImportReport:
    """Tell of a long import every few seconds, and of its last byte."""

    def __init__(self, story: Narration) -> None:
        self._story = story
        self._next = time.monotonic() + REPORT_SECONDS

    def __call__(self, progress: Progress) -> None:
        done = progress.bytes_read == progress.bytes_total
        if not done and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + REPORT_SECONDS
        self._story.say(
            f"{progress.archive.name}: {progress.bytes_read / 1e9:.2f} of"
            f" {progress.bytes_total / 1e9:.2f} GB, {progress.seconds:.0f} s"
            + ("; unpacking" if done else "")
        )
