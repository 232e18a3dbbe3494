"""
Ask the API server whether it takes a pod, before a node is bought for it.

The CustomResourceDefinition takes any object as `inference.template`, as KAITO's does, so a typo in
it would show only when the node is there and paid for. A dry run of the very Deployment that would
be applied brings out the schema, the validation, and every policy of the cluster, in the API
server's own words.

The same is done where weights come in an image volume: an API server that does not offer these
drops the field without a word, also of a dry run, whose answer shows it.

Invariant: what was accepted once is not asked again by this process; what was refused is asked
again at every pass, since a policy may have changed. Must not write.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from workspace_operator.api import Workspace
from workspace_operator.api.weights import WEIGHTS_ANNOTATION, WeightsKind
from workspace_operator.cluster import Cluster, Forbidden, Invalid, Manifest
from workspace_operator.objects.deployment import deployment, pod_template
from workspace_operator.objects.metadata import (
    CONFIG_HASH_ANNOTATION,
    identity_of,
    is_ours,
)
from workspace_operator.plan import Plan, PlanError
from workspace_operator.settings import Settings
from workspace_operator.snapshot.reading import mappings, section, strings

REASON = "TemplateRefused"
MOST_REMEMBERED = 4_096
LONGEST_SENTENCE = 600
DROPPED = "it drops volumes[].image without a word"
_TEMPLATE = ("spec", "template", "metadata", "annotations")


@dataclass(slots=True, kw_only=True)
class TemplateTrial:
    """Try templates that are not in use yet."""

    cluster: Cluster
    settings: Settings
    _accepted: OrderedDict[tuple[str, str], None] = field(default_factory=OrderedDict)

    async def judge(
        self, workspace: Workspace, plan: Plan, live: Manifest | None
    ) -> Plan | PlanError:
        """
        Return the plan, or why the API server would refuse its template.

        Args:
            workspace: A Workspace that brings a template, or weights in an image volume.
            plan: What was decided for it.
            live: The Deployment of its name, whoever's that is.

        Raises:
            ClusterError: The API server could not be asked.
        """
        if live is not None and not is_ours(identity_of(workspace), live):
            return plan  # a conflict of names, which is told as such
        wanted = deployment(workspace, plan, pod_template(workspace, plan, self.settings))
        revision = _revision(wanted)
        tried = (workspace.uid, revision)
        if tried in self._accepted or (live is not None and revision == _revision(live)):
            return plan
        try:
            taken = await self.cluster.try_apply(wanted)
        except (Forbidden, Invalid) as refusal:
            if plan.preset is not None:
                return PlanError("ImageVolumeNotOffered", _no_volume(plan, refusal.message))
            return PlanError(REASON, _sentence(refusal.message))
        if plan.preset is not None and _image_volumes(taken) < _image_volumes(wanted):
            return PlanError("ImageVolumeNotOffered", _no_volume(plan, DROPPED))
        self._accepted[tried] = None
        while len(self._accepted) > MOST_REMEMBERED:
            self._accepted.popitem(last=False)
        return plan


def _revision(manifest: Manifest) -> str:
    return strings(section(manifest, *_TEMPLATE)).get(CONFIG_HASH_ANNOTATION, "")


def is_to_be_tried(plan: Plan) -> bool:
    """Say whether a pod of this plan may be one that not every API server takes."""
    return plan.preset is None or plan.weights.kind is WeightsKind.VOLUME_IMAGE


def _image_volumes(deployment: Manifest) -> int:
    """Count the volumes of a Deployment's pod that are images."""
    volumes = mappings(section(deployment, "spec", "template", "spec").get("volumes"))
    return sum(1 for each in volumes if each.get("image"))


def _no_volume(plan: Plan, message: str) -> str:
    told = " ".join(message.split())
    if len(told) > LONGEST_SENTENCE:
        told = told[: LONGEST_SENTENCE - 1] + "…"
    return (
        f"annotation {WEIGHTS_ANNOTATION}: {plan.weights.text!r}: the API server does not take "
        f"the pod: {told}; image volumes need Kubernetes 1.35, else use fetch or pvc:CLAIM"
    )


def _sentence(message: str) -> str:
    """Put the API server's words on one line, with the paths as the user wrote them."""
    told = " ".join(message.split()).replace(" .spec.template.", " inference.template.")
    for before in (" ", "[", '"'):
        told = told.replace(f"{before}spec.template.", f"{before}inference.template.")
    if len(told) > LONGEST_SENTENCE:
        told = told[: LONGEST_SENTENCE - 1] + "…"
    return f"inference.template: the API server would refuse its Deployment: {told}; correct it"
