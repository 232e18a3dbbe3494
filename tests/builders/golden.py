"""
Write the golden manifests anew: `python -m tests.builders.golden`.

They are there to be read in a review: a change of what the operator makes is a change of them.
"""

import argparse
from pathlib import Path

import yaml
from workspace_operator.api import Workspace
from workspace_operator.objects.deployment import deployment, pod_template
from workspace_operator.objects.network_policy import network_policy
from workspace_operator.objects.node_claim import node_claim
from workspace_operator.objects.service import service
from workspace_operator.objects.slots import Slot
from workspace_operator.objects.tuning_job import tuning_job
from workspace_operator.plan import Plan
from workspace_operator.settings import Settings

from tests.builders import AWS, BYO, MISTRAL_7B, SETTINGS, TINY, Manifest, planned, workspace
from tests.builders.tunings import tuning, tuning_plan

FOLDER = Path(__file__).parents[1] / "workspace_operator" / "golden"


def _deployment(made: Workspace, plan: Plan, settings: Settings) -> Manifest:
    return deployment(made, plan, pod_template(made, plan, settings))


def golden_manifests() -> dict[str, Manifest]:
    """Return what is kept, by file name."""
    plain = workspace()
    rich = workspace(
        annotations={"kaito.sh/enablelb": "True", "kaito.sh/node-image-family": "azurelinux"},
        resource={
            "count": 2,
            "labelSelector": {
                "matchLabels": {"apps": "mistral"},
                "matchExpressions": [
                    {"key": "zone", "operator": "NotIn", "values": ["b"]},
                    {"key": "fast", "operator": "Exists"},
                ],
            },
        },
        inference={
            "preset": {
                "name": "tiny-mistral",
                "presetOptions": {
                    "image": "registry.example/tiny:1",
                    "imagePullSecrets": ["registry"],
                    "modelAccessSecret": "hub",
                },
            }
        },
    )
    tuned = tuning(output={"image": "registry.example/out:1", "imagePushSecret": "push"})
    assert tuned.tuning
    open_type = workspace(instance_type=None)
    return {
        "node-claim-azure": _claim(plain, SETTINGS, 0, 0),
        "node-claim-aws-any-type": _claim(open_type, AWS, 1, 2),
        "service": service(plain, planned(plain)),
        "service-load-balancer": service(rich, planned(rich, BYO, TINY)),
        "network-policy": network_policy(plain, planned(plain), SETTINGS),
        "deployment-mistral-7b": _deployment(plain, planned(plain), SETTINGS),
        "tuning-job": tuning_job(tuned, tuned.tuning, tuning_plan(tuned), MISTRAL_7B, SETTINGS),
        "deployment-weights-fetch": _weights("fetch"),
        "deployment-weights-oci": _weights("oci:registry.example/weights/mistral:1"),
        "deployment-weights-pvc": _weights("pvc:models/mistral"),
        "deployment-byo-cpu": _deployment(rich, planned(rich, BYO, TINY), BYO),
    }


def _weights(source: str) -> Manifest:
    made = workspace(annotations={"atelier.dev/weights": source})
    return _deployment(made, planned(made), SETTINGS)


def _claim(made: Workspace, settings: Settings, ordinal: int, attempt: int) -> Manifest:
    plan = planned(made, settings)
    slot = Slot(ordinal=ordinal, attempt=attempt, instance_types=plan.candidates)
    return node_claim(made, plan, settings, slot)


def rendered(manifest: Manifest) -> str:
    """Return a manifest as it is kept."""
    return yaml.safe_dump(manifest, sort_keys=False, width=100, allow_unicode=True)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name, manifest in golden_manifests().items():
        (FOLDER / f"{name}.yaml").write_text(rendered(manifest), encoding="utf-8")
