"""
Generate what the chart's admission policies say: rules that the definition itself cannot see.

A CustomResourceDefinition sees neither annotations, nor the catalog, nor who brings the nodes. The
API server evaluates these policies itself, so there is no webhook that could be away. Only what a
request writes is judged, never what was there before: an old Workspace can always be let go.

Invariant: nothing here asks for another object to exist; what depends on the cluster is a
condition. The list of presets is therefore a part of the policy, and not its parameter: the API
server stops watching a ConfigMap for good when the last binding that names it goes
(docs/adr/0008).
"""

from typing import Any

import yaml
from model_presets.catalog import Catalog, load_catalog

from workspace_operator.crd.annotation_policies import annotations, hints
from workspace_operator.crd.policy import OLD_TYPE_NAMED, TYPE_NAMED, Check, Policy, text

HEADER = "# Written by `make generate`: change operator/workspace_operator, not this file.\n"

# The longest start or end that a name shares with a known one, from long to short.
_LENGTHS = ", ".join(str(length) for length in range(40, 2, -1))
_SHARES = (
    "(name.startsWith(variables.wanted.substring(0, {n})) "
    "|| name.endsWith(variables.wanted.substring(size(variables.wanted) - {n})))"
)


def _asked(kind: str) -> str:
    return f"has(object.{kind}) && has(object.{kind}.preset) && has(object.{kind}.preset.name)"


def _presets() -> Policy:
    """
    Give the policy that knows the catalog; the chart's template puts the variables before these.

    They are `names`, `known` and `tunable`, lists of the catalog and of the chart's own presets.
    """
    near = _SHARES.format(n="n")
    nearest = _SHARES.format(n="variables.shared[0]")
    hint = (
        "(size(variables.nearest) > 0 "
        "? '; did you mean ' + variables.nearest.join(' or ') + '?' : '.') "
        "+ ' Known presets: ' + variables.names.join(', ')"
    )
    return Policy(
        denies=True,
        operations=("CREATE",),
        variables={
            "kind": f"{_asked('inference')} ? 'inference' : {_asked('tuning')} ? 'tuning' : ''",
            "asked": "variables.kind == 'inference' ? object.inference.preset.name "
            ": variables.kind == 'tuning' ? object.tuning.preset.name : ''",
            "wanted": "variables.asked.trim().lowerAscii()",
            "shared": f"[{_LENGTHS}].filter(n, n <= size(variables.wanted) "
            f"&& variables.names.exists(name, {near}))",
            "nearest": "size(variables.shared) == 0 ? [] "
            f": variables.names.filter(name, {nearest})",
        },
        checks=(
            Check(
                field="inference.preset.name, tuning.preset.name",
                cel="variables.kind == '' || variables.wanted in variables.known",
                message="variables.kind + '.preset.name: \"' + variables.asked "
                f"+ '\" is not in the catalog' + {hint}",
                about="is in the catalog: a name, an alias or a hub id, in any letter case",
            ),
            Check(
                field="tuning.preset.name",
                cel="variables.kind != 'tuning' || !(variables.wanted in variables.known) "
                "|| variables.wanted in variables.tunable",
                message="'tuning.preset.name: \"' + variables.asked + '\" cannot be tuned'",
                about="can be tuned",
            ),
        ),
    )


def _nodes() -> dict[str, Policy]:
    """Give the rules that depend on who brings the nodes."""
    return {
        "byo": Policy(
            denies=True,
            checks=(
                Check(
                    field="resource.instanceType",
                    cel=f"request.kind.version == 'v1alpha1' || !({TYPE_NAMED}) "
                    f"|| ({OLD_TYPE_NAMED})",
                    message=text(
                        "resource.instanceType: instanceType must be empty when node "
                        "auto-provisioning is disabled (BYO scenario): remove it, and label your "
                        "nodes for resource.labelSelector"
                    ),
                    about="is absent where you bring the nodes (chart: nodeProvisioner byo); "
                    "v1alpha1 fills it in by itself, and is let pass",
                ),
            ),
        ),
        "karpenter": Policy(
            denies=True,
            checks=(
                Check(
                    field="resource.partition",
                    cel="!has(object.resource) || !has(object.resource.partition) "
                    "|| (oldObject != null && has(oldObject.resource) "
                    "&& has(oldObject.resource.partition))",
                    message=text(
                        "resource.partition: GPU partitioning is only supported with BYO nodes: "
                        "remove it, or have nodes brought (chart: nodeProvisioner byo)"
                    ),
                    about="is absent where nodes are made (chart: nodeProvisioner karpenter)",
                ),
            ),
        ),
    }


POLICIES: dict[str, Policy] = {
    "annotations": annotations(),
    "hints": hints(),
    "presets": _presets(),
    **{f"nodes-{each}": policy for each, policy in _nodes().items()},
}


def preset_names(catalog: Catalog) -> dict[str, list[str]]:
    """List every name that means a preset, in lower case, as the policy compares them."""
    tunable = [name for preset in catalog if preset.tunable for name in preset.names]
    return {
        "names": list(catalog.names()),
        "known": sorted({name.lower() for preset in catalog for name in preset.names}),
        "tunable": sorted({name.lower() for name in tunable}),
    }


def render() -> str:
    """Give the file that the chart's template turns into policies."""
    policies: dict[str, Any] = {
        name: {
            "action": "Deny" if policy.denies else "Warn",
            "operations": list(policy.operations),
            "variables": [
                {"name": key, "expression": cel} for key, cel in policy.variables.items()
            ],
            "validations": [
                {"expression": each.cel, "messageExpression": each.message}
                for each in policy.checks
            ],
        }
        for name, policy in POLICIES.items()
    }
    content = {"policies": policies, "presets": preset_names(load_catalog())}
    return HEADER + yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=1000)


class _Dumper(yaml.SafeDumper):
    """Write expressions as blocks, which need no quoting."""


def _block(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if " " in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _block)
