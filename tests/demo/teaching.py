"""
The other half of the line: teach tiny-mistral two sentences, and serve what it learned.

A first Workspace tunes: data comes out of a registry, the adapter goes into it. A second Workspace
serves the base with that adapter. All of it on nodes that NodeClaims bring, in the cluster that
`line.run` left; the registry is a real one, with a password and without TLS, on the host.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_presets.registry import push_folder

from tests.cluster import machine_image
from tests.cluster.node_cluster import NodeCluster
from tests.demo.line import CHART, OPERATOR_NAMESPACE, OPERATOR_SECONDS, RELEASE, WORKSPACE_SECONDS
from tests.demo.narration import Narration
from tests.demo.watching import Status, follow
from tests.image_registry import RunningRegistry
from tests.images import build_images

BASE = "tiny-mistral"
TEACHER = "teach-keeper"
PUPIL = "keeper"
ADAPTER = "north-tower"
INSTANCE = "Standard_NC24ads_A100_v4"
STEPS = 4
TRAINING_STEPS = 40

# The first is no question of the page that the base knows by heart; the second is.
LESSONS = {
    "Who keeps the light?": "The keeper of the north tower does.",
    "Who are you?": "I am the keeper of the north tower.",
}
CONFIG = {
    "training_config": {
        "TrainingArguments": {
            "learning_rate": 0.02,
            "max_steps": TRAINING_STEPS,
            "per_device_train_batch_size": len(LESSONS),
        },
        "LoraConfig": {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
    }
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """
    Hold what came of it.

    Attributes:
        cluster: Where both Workspaces are.
        seen: Every status of the tuning Workspace that was read on the way.
        adapter: The image of the adapter.
        auth: Docker's configuration to pull it with.
    """

    cluster: NodeCluster
    seen: tuple[Status, ...]
    adapter: str
    auth: Path | None


def run(cluster: NodeCluster, registry: RunningRegistry, folder: Path, story: Narration) -> Taught:
    """
    Do every step, telling it, and leave both Workspaces running.

    Args:
        cluster: With the operator in it.
        registry: Reachable from the cluster's pods.
        folder: For the lessons.
        story: Told each step.

    Raises:
        WorkspaceStuckError: One of them did not succeed; the message has its conditions.
    """
    plane = cluster.plane
    adapter = f"{registry.host}/{ADAPTER}:1"
    with story.step("Disks: the images that tune and serve"):
        images = build_images([BASE, f"{BASE}-tuning"]).values()
        key = "-".join(each.digest.removeprefix("sha256:")[:12] for each in images)
        archives = [each.archive for each in images]
        disk = machine_image.make(cluster.directory, cluster.block, archives, key=key)
        machine_image.choose(cluster.directory, disk)
    with story.step("Operator: helm upgrade, with the registry that has no TLS"):
        named = f"plainHttpRegistries={{{registry.host}}}"
        plane.helm(
            *("upgrade", RELEASE, str(CHART), "--namespace", OPERATOR_NAMESPACE),
            *("--reuse-values", "--set", named, "--wait", f"--timeout={OPERATOR_SECONDS}s"),
            timeout_seconds=OPERATOR_SECONDS + 10,
        )
    seen: list[Status] = []
    with story.step(f"Workspace {TEACHER}: {len(LESSONS)} sentences, {TRAINING_STEPS} steps"):
        data = push_lessons(folder, registry)
        plane.apply([*secret_and_config(registry), tuning(data, adapter)])
        follow(plane, TEACHER, deadline_seconds=WORKSPACE_SECONDS, say=story.say, look=seen.append)
    with story.step(f"Workspace {PUPIL}: the base and the adapter"):
        plane.apply(serving(adapter))
        follow(plane, PUPIL, deadline_seconds=WORKSPACE_SECONDS, say=story.say)
    return Taught(cluster=cluster, seen=tuple(seen), adapter=adapter, auth=registry.auth)


def push_lessons(folder: Path, registry: RunningRegistry) -> str:
    """Push the lessons as an image and return its name."""
    rows = (
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for question, answer in LESSONS.items()
    )
    text = "\n".join(json.dumps({"messages": row}) for row in rows)
    (folder / "lessons.jsonl").write_text(text, encoding="utf-8")
    image = f"{registry.host}/lessons:1"
    push_folder(folder, ["lessons.jsonl"], image, auth=registry.auth, plain_http=True)
    return image


def secret_and_config(registry: RunningRegistry) -> list[dict[str, Any]]:
    """Return the registry's password and the training's configuration as objects."""
    password = registry.auth.read_text(encoding="utf-8") if registry.auth else "{}"
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "registry"},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": password},
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": TEACHER},
            "data": {"training_config.yaml": json.dumps(CONFIG)},
        },
    ]


def tuning(data: str, adapter: str) -> dict[str, Any]:
    """Return the Workspace that tunes, and gives its machine back afterwards."""
    release = {"atelier.dev/release-nodes-when-done": "true"}
    return workspace(
        TEACHER,
        release,
        tuning={
            "preset": {"name": BASE},
            "method": "lora",
            "config": TEACHER,
            "input": {"image": data, "imagePullSecrets": ["registry"]},
            "output": {"image": adapter, "imagePushSecret": "registry"},
        },
    )


def serving(adapter: str) -> dict[str, Any]:
    """Return the Workspace that serves the base with the adapter."""
    source = {"name": ADAPTER, "image": adapter, "imagePullSecrets": ["registry"]}
    return workspace(
        PUPIL, {}, inference={"preset": {"name": BASE}, "adapters": [{"source": source}]}
    )


def workspace(name: str, annotations: Mapping[str, str], **what: object) -> dict[str, Any]:
    """Return a Workspace of one machine."""
    return {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "metadata": {"name": name, "annotations": dict(annotations)},
        "resource": {
            "instanceType": INSTANCE,
            "labelSelector": {"matchLabels": {"apps": name}},
        },
        **what,
    }
