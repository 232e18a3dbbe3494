"""
Ask the API server whether a pod template is one, before a node is bought for it.

The CustomResourceDefinition takes any object as `inference.template`, as KAITO's does, so a typo in
it would show only when the node is there and paid for. A dry run of the very Deployment that would
be applied brings out the schema, the validation, and every policy of the cluster, in the API
server's own words.

Invariant: what was accepted once is not asked again by this process; what was refused is asked
again at every pass, since a policy may have changed. Must not write.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from workspace_operator.api import Workspace
from workspace_operator.cluster import Cluster, Forbidden, Invalid, Manifest
from workspace_operator.objects.deployment import deployment, pod_template
from workspace_operator.objects.metadata import (
    CONFIG_HASH_ANNOTATION,
    identity_of,
    is_ours,
)
from workspace_operator.plan import Plan, PlanError
from workspace_operator.settings import Settings
from workspace_operator.snapshot.reading import section, strings

REASON = "TemplateRefused"
MOST_REMEMBERED = 4_096
LONGEST_SENTENCE = 600
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
            workspace: A Workspace that brings a template.
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
            await self.cluster.try_apply(wanted)
        except (Forbidden, Invalid) as refusal:
            return PlanError(REASON, _sentence(refusal.message))
        self._accepted[tried] = None
        while len(self._accepted) > MOST_REMEMBERED:
            self._accepted.popitem(last=False)
        return plan


def _revision(manifest: Manifest) -> str:
    return strings(section(manifest, *_TEMPLATE)).get(CONFIG_HASH_ANNOTATION, "")


def _sentence(message: str) -> str:
    """Put the API server's words on one line, with the paths as the user wrote them."""
    told = " ".join(message.split()).replace(" .spec.template.", " inference.template.")
    for before in (" ", "[", '"'):
        told = told.replace(f"{before}spec.template.", f"{before}inference.template.")
    if len(told) > LONGEST_SENTENCE:
        told = told[: LONGEST_SENTENCE - 1] + "…"
    return f"inference.template: the API server would refuse its Deployment: {told}; correct it"
