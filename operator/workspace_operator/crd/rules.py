"""
The static rules of a Workspace as CEL: the API server refuses what could never work.

They are the rules of ``workspace_operator.api.rules``, and those that compare a change with what
was there before. Each message carries KAITO's wording and the remedy.

Invariant: an object that was stored before a rule existed must still take status, labels and the
removal of its finalizer. Kubernetes sees to that where a value did not change; where it cannot tell
(``rule.OPAQUE``) the rule itself lets pass what was broken before. Source: Kubernetes
documentation, "Validation ratcheting".
"""

from workspace_operator.api.limits import (
    DECIMAL,
    LABEL_KEY,
    LABEL_KEY_LIMIT,
    LABEL_VALUE,
    MIG_PROFILES,
    NAME_LIMIT,
    RESERVED_LABEL_PREFIX,
    RESERVED_LABELS,
    SUBDOMAIN,
    WORKSPACE_NAME,
)
from workspace_operator.crd.data_rules import (
    HAS_IMAGE,
    HAS_URLS,
    HAS_VOLUME,
    IMAGES,
    NAMES,
    TUNING,
)
from workspace_operator.crd.rule import (
    FORBIDDEN,
    REQUIRED,
    Rule,
    pattern,
    quoted,
    toggled,
    unchanged,
)

_ADAPTERS = "inference.adapters"
_ADAPTER = "inference.adapters[]"

ROOT = (
    Rule(
        path="metadata.name",
        cel=f"size(self) <= {NAME_LIMIT} && self.matches({pattern(WORKSPACE_NAME)})",
        message="{} cannot name a Service and a label: use at most "
        f"{NAME_LIMIT} lower-case letters, digits and '-', starting with a letter and not "
        "ending with '-'",
        value="self",
    ),
    Rule(
        path="",
        cel="has(self.resource)",
        message="add resource.labelSelector, and resource.instanceType for a node to be made",
        field=".resource",
        reason=REQUIRED,
    ),
    Rule(
        path="",
        cel="has(self.inference) || has(self.tuning)",
        message="Either Inference or Tuning must be specified, not neither: add inference.preset",
        field=".inference",
        reason=REQUIRED,
    ),
    Rule(
        path="",
        cel="!(has(self.inference) && has(self.tuning))",
        message="Either Inference or Tuning must be specified, but not both: put tuning into a "
        "Workspace of its own",
        field=".tuning",
        reason=FORBIDDEN,
    ),
    Rule(
        path="",
        cel=toggled("inference"),
        message="Inference field cannot be toggled once set: make another Workspace",
        field=".inference",
        reason=FORBIDDEN,
    ),
    Rule(
        path="",
        cel=toggled("tuning"),
        message="Tuning field cannot be toggled once set: make another Workspace",
        field=".tuning",
        reason=FORBIDDEN,
    ),
    Rule(
        path="",
        cel="!has(self.tuning) || !has(self.resource) || !has(self.resource.count) "
        "|| self.resource.count == 1",
        message="Tuning does not currently support multinode configurations. Please set the node "
        "count to 1",
        field=".resource.count",
    ),
    Rule(
        path="",
        cel="!has(self.tuning) || !has(self.resource) || !has(self.resource.partition)",
        message="GPU partitioning is not supported for tuning workloads: remove it",
        field=".resource.partition",
        reason=FORBIDDEN,
        needs="resource.partition",
    ),
)

RESOURCE = (
    Rule(
        path="resource",
        cel="!has(self.instanceType) || self.instanceType == '' || !has(oldSelf.instanceType) "
        "|| oldSelf.instanceType == '' || self.instanceType == oldSelf.instanceType",
        message="instanceType cannot be changed once set: make another Workspace",
        field=".instanceType",
        reason=FORBIDDEN,
    ),
    Rule(
        path="resource",
        cel=unchanged("partition"),
        message="field is immutable: make another Workspace",
        field=".partition",
        reason=FORBIDDEN,
        needs="resource.partition",
    ),
    Rule(
        path="resource.labelSelector",
        cel="self == oldSelf",
        message="field is immutable: make another Workspace",
        reason=FORBIDDEN,
    ),
    Rule(
        path="resource.labelSelector.matchLabels",
        cel=f"size(self) == 0 || self.exists(key, !(key in {quoted(RESERVED_LABELS)}) "
        f"&& !key.startsWith('{RESERVED_LABEL_PREFIX}'))",
        message="matchLabels must contain at least one non-reserved label: add one of your own, "
        "such as apps: mistral",
    ),
    Rule(
        path="resource.labelSelector.matchLabels",
        cel=f"self.all(key, size(key) <= {LABEL_KEY_LIMIT} && key.matches({pattern(LABEL_KEY)}))",
        message="a key is not a label key: use letters, digits, '-', '_' and '.', after an "
        "optional DNS name and '/', such as example.com/team",
    ),
    Rule(
        path="resource.labelSelector.matchLabels",
        cel=f"self.all(key, self[key].matches({pattern(LABEL_VALUE)}))",
        message="a value is not a label value: use at most 63 letters, digits, '-', '_' and '.', "
        "starting and ending with a letter or digit",
    ),
    Rule(
        path="resource.labelSelector.matchExpressions[]",
        cel="(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
        message="operator In and NotIn need at least one value; Exists and DoesNotExist take none",
        field=".values",
    ),
    Rule(
        path="resource.labelSelector.matchExpressions[].key",
        cel=f"size(self) <= {LABEL_KEY_LIMIT} && self.matches({pattern(LABEL_KEY)})",
        message="{} is not a label key: use letters, digits, '-', '_' and '.', after an optional "
        "DNS name and '/', such as example.com/team",
        value="self",
    ),
    Rule(
        path="resource.labelSelector.matchExpressions[].values[]",
        cel=f"self.matches({pattern(LABEL_VALUE)})",
        message="{} is not a label value: use at most 63 letters, digits, '-', '_' and '.', "
        "starting and ending with a letter or digit",
        value="self",
    ),
    Rule(
        path="resource.partition",
        cel="self.mode != 'accelerator' || !has(self.profile) || self.profile == ''",
        message="profile is not valid for accelerator mode: remove it",
        field=".profile",
        needs="resource.partition",
    ),
    Rule(
        path="resource.partition",
        cel="self.mode != 'accelerator' || has(self.count)",
        message="accelerator mode needs count, the number of GPUs",
        field=".count",
        reason=REQUIRED,
        needs="resource.partition",
    ),
    Rule(
        path="resource.partition",
        cel="self.mode != 'mig' || !has(self.count)",
        message="count is only valid for accelerator mode: remove it",
        field=".count",
        needs="resource.partition",
    ),
    Rule(
        path="resource.partition",
        cel=f"self.mode != 'mig' || (has(self.profile) && self.profile in {quoted(MIG_PROFILES)})",
        message="{} is not a MIG profile: use one that the GPU offers, such as 1g.10gb "
        "(nvidia-smi mig -lgip lists them)",
        value="(has(self.profile) ? self.profile : '')",
        field=".profile",
        needs="resource.partition",
    ),
)

INFERENCE = (
    Rule(
        path="inference",
        cel="has(self.preset) || has(self.template)",
        message="Preset or Template must be specified: add preset.name, such as "
        "mistral-7b-instruct",
        reason=REQUIRED,
    ),
    Rule(
        path="inference",
        cel="!(has(self.preset) && has(self.template))",
        message="Preset and Template cannot be set at the same time: remove one of them",
        field=".template",
        reason=FORBIDDEN,
    ),
    Rule(
        path="inference",
        cel=unchanged("preset"),
        message="field is immutable: make another Workspace",
        field=".preset",
        reason=FORBIDDEN,
    ),
    Rule(
        path="inference",
        cel="has(self.template) == has(oldSelf.template)",
        message="field cannot be unset/set if it was set/unset: make another Workspace",
        field=".template",
        reason=FORBIDDEN,
    ),
    Rule(
        path=_ADAPTERS,
        cel="self.all(a, !has(a.source) || !has(a.source.name) || self.exists_one(b, "
        "has(b.source) && has(b.source.name) && b.source.name == a.source.name))",
        message="Duplicate adapter source name found: give each adapter its own name",
    ),
    Rule(
        path=_ADAPTER,
        cel="has(self.source)",
        message="name the source of the adapter, and its image or volumeSource",
        field=".source",
        reason=REQUIRED,
    ),
    Rule(
        path=f"{_ADAPTER}.source",
        cel="has(self.name) && self.name != ''",
        message="Name of Adapter field must be specified",
        field=".name",
        reason=REQUIRED,
    ),
    Rule(
        path=f"{_ADAPTER}.source.name",
        cel=f"self == '' || self.matches({pattern(SUBDOMAIN)})",
        message="{} does not name an adapter: use lower-case letters, digits, '-' and '.' (a "
        "DNS-1123 subdomain)",
        value="self",
    ),
    Rule(
        path=f"{_ADAPTER}.source",
        cel=f"!{HAS_URLS}",
        message="URLs are not supported as adapter source: use image or volumeSource",
        field=".urls",
        reason=FORBIDDEN,
    ),
    Rule(
        path=f"{_ADAPTER}.source",
        cel=f"{HAS_IMAGE} != {HAS_VOLUME}",
        message="Either Image or Volume must be specified for adapter source: set exactly one of "
        "image and volumeSource",
    ),
    Rule(
        path=f"{_ADAPTER}.strength",
        cel=f"self.matches({pattern(DECIMAL)})",
        message="Invalid strength value {}: write a decimal such as '0.5'",
        value="self",
    ),
    Rule(
        path=f"{_ADAPTER}.strength",
        cel=f"!self.matches({pattern(DECIMAL)}) || (double(self) >= 0.0 && double(self) <= 1.0)",
        message="Strength value {} must be between 0 and 1",
        value="self",
    ),
)

RULES = (*ROOT, *RESOURCE, *INFERENCE, *TUNING, *IMAGES, *NAMES)
