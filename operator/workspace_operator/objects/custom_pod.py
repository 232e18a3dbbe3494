"""
Run a pod template of the user's own: theirs in every field, with what ties it to its nodes added.

Added, never overwritten: the label that Service and operator find it by; our node affinity, joined
to every alternative of theirs; our tolerations beside theirs; and a GPU for the first container,
where no container speaks of one.

Whether it is a pod template at all is for the API server to say, which is asked by a dry run. So a
part that is not what it should be is left as it is, and its refusal speaks of the user's own words.

Must not import the other kinds of `objects`, but for metadata and placement.
"""

from workspace_operator.api import Workspace
from workspace_operator.objects.metadata import CONFIG_HASH_ANNOTATION, WORKSPACE_LABEL, digest
from workspace_operator.objects.placement import TOLERATIONS, node_terms
from workspace_operator.plan import Plan
from workspace_operator.plan.template import asked_gpus, containers
from workspace_operator.snapshot import Manifest


def custom_pod(workspace: Workspace, plan: Plan) -> Manifest:
    """Return the pod template of a Workspace that brings its own."""
    asked = workspace.inference.template if workspace.inference else None
    template = _without_nulls(asked or {})
    given = asked_gpus(template)
    metadata = _within(template, "metadata")
    labels = _within(metadata, "labels")
    spec = _within(template, "spec")
    if labels is not None:
        labels[WORKSPACE_LABEL] = workspace.name
    if spec is not None:
        _tolerate(spec)
        _place(spec, node_terms(workspace, plan))
    first = next(iter(containers(template)), None)
    if given is None and plan.gpus_per_node and first is not None:
        _give_gpus(first, plan)
    annotations = _within(metadata, "annotations")
    if annotations is not None:
        annotations[CONFIG_HASH_ANNOTATION] = digest(template)
    return template


def _without_nulls(template: Manifest) -> Manifest:
    """Copy a template without the fields that say null, which the API server drops as well."""

    def copied(value: object) -> object:
        if isinstance(value, dict):
            return {key: copied(each) for key, each in value.items() if each is not None}
        return [copied(each) for each in value] if isinstance(value, list) else value

    return {key: copied(value) for key, value in template.items() if value is not None}


def _within(parent: Manifest | None, key: str) -> Manifest | None:
    """Return the mapping below a key, made where there is none; None where something else is."""
    if parent is None:
        return None
    if parent.get(key) is None:
        parent[key] = {}
    child = parent[key]
    return child if isinstance(child, dict) else None


def _tolerate(spec: Manifest) -> None:
    theirs = spec.get("tolerations") or []
    if isinstance(theirs, list):
        spec["tolerations"] = [*theirs, *(ours for ours in TOLERATIONS if ours not in theirs)]


def _place(spec: Manifest, terms: list[Manifest]) -> None:
    """Add our terms to each alternative; one alternative that lacked them would lead elsewhere."""
    node_affinity = _within(_within(spec, "affinity"), "nodeAffinity")
    required = _within(node_affinity, "requiredDuringSchedulingIgnoredDuringExecution")
    if required is None or not terms:
        return
    alternatives = required.get("nodeSelectorTerms") or [{}]
    if not isinstance(alternatives, list):
        return
    required["nodeSelectorTerms"] = [
        {**each, "matchExpressions": [*(each.get("matchExpressions") or []), *terms]}
        if isinstance(each, dict) and isinstance(each.get("matchExpressions") or [], list)
        else each
        for each in alternatives
    ]


def _give_gpus(container: Manifest, plan: Plan) -> None:
    resources = _within(container, "resources")
    for part in ("requests", "limits"):
        amounts = _within(resources, part)
        if amounts is not None:
            amounts[plan.gpu_resource] = str(plan.gpus_per_node)
