"""What the chart's admission policies refuse or warn of, rule by rule."""

from tests.workspaces.good import INFERENCE, TUNING, Manifest, merged
from tests.workspaces.row import Judged, annotated

_PLAN = "atelier.dev/plan"
_TYPES = "atelier.dev/instance-types"
_REPOSITORY = "atelier.dev/output-repository"
_TWO = "Standard_NC24ads_A100_v4,Standard_NV36ads_A10_v5"


def refused(key: str, bad: str, says: str, good: str | None) -> Judged:
    return Judged(
        policy="annotations",
        field=f"metadata.annotations[{key}]",
        bad=annotated(key, bad),
        good=annotated(key, good),
        says=says,
    )


def warned(key: str, bad: str, says: str = "has no effect here", good: str | None = None) -> Judged:
    return Judged(
        policy="hints",
        field=f"metadata.annotations[{key}]",
        bad=annotated(key, bad),
        good=annotated(key, good),
        says=says,
    )


def asked(name: str, says: str, good: str = "mistral-7b-instruct") -> Judged:
    bad, mended = (
        merged(INFERENCE, {"inference": {"preset": {"name": each}}}) for each in (name, good)
    )
    return Judged(policy="presets", field="inference.preset.name", bad=bad, good=mended, says=says)


def uploading(repository: str, options: Manifest | None) -> Manifest:
    return merged(
        TUNING,
        {
            "metadata": {"annotations": {_REPOSITORY: repository}},
            "tuning": {"preset": {"presetOptions": options}},
        },
    )


JUDGED: dict[str, Judged] = {
    "plan misspelt": refused(_PLAN, "onyl", "write only, or remove it", "only"),
    "instance types with a hole": refused(
        _TYPES, "Standard_NC24ads_A100_v4,,x", "with commas between them", _TWO
    ),
    "an annotation of ours that does not exist": Judged(
        policy="annotations",
        field="metadata.annotations[atelier.dev/*]",
        bad=annotated("atelier.dev/plann", "only"),
        good=annotated(_PLAN, "only"),
        says="there are atelier.dev/plan, atelier.dev/instance-types",
    ),
    "nodes released perhaps": refused(
        "atelier.dev/release-nodes-when-done", "yes", 'write "true", spelt so', "true"
    ),
    "weights out of a volume": refused(
        "atelier.dev/weights",
        "pvc:models/../keys",
        "use image, fetch, oci:IMAGE",
        "pvc:models/mistral",
    ),
    "a repository that is no repository": Judged(
        policy="annotations",
        field=f"metadata.annotations[{_REPOSITORY}]",
        bad=uploading("hf://team/style", {"modelAccessSecret": "hub"}),
        good=uploading("team/style@main", {"modelAccessSecret": "hub"}),
        says='"hf://team/style" is not supported: write owner/name',
    ),
    "a repository without a token": Judged(
        policy="annotations",
        field="tuning.preset.presetOptions.modelAccessSecret",
        bad=uploading("team/style", None),
        good=uploading("team/style", {"modelAccessSecret": "hub"}),
        says="needs the Secret whose key HF_TOKEN may write",
    ),
    "a repository for a model that serves": refused(
        _REPOSITORY, "team/style", "is for a Workspace with tuning", None
    ),
    "enablelb in small letters": refused(
        "kaito.sh/enablelb", "true", '"true" is not supported: use True, spelt so', "True"
    ),
    "runtime misspelt": refused(
        "kaito.sh/runtime", "transformer", "use transformers, spelt so", "transformers"
    ),
    "a bypass that is meant to be off": refused(
        "kaito.sh/bypass-resource-checks", "false", "its mere presence skips", "true"
    ),
    "image family unknown": refused(
        "kaito.sh/node-image-family", "windows", "azurelinux, ubuntu", "AzureLinux"
    ),
    "performance mode unknown": refused(
        "kaito.sh/performance-mode", "fast", "balanced or interactivity or throughput", "balanced"
    ),
    "local weights neither true nor false": refused(
        "kaito.sh/use-local-weights", "yes", "true or false", "true"
    ),
    "benchmark neither true nor false": refused(
        "kaito.sh/disable-benchmark", "yes", "true or false", "true"
    ),
    "streaming changed": Judged(
        policy="annotations",
        field="metadata.annotations[kaito.sh/model-streaming]",
        before=INFERENCE,
        bad=annotated("kaito.sh/model-streaming", "disabled"),
        good=annotated("team", "blue"),
        says="annotation kaito.sh/model-streaming is immutable after creation",
    ),
    "a performance mode": warned("kaito.sh/performance-mode", "balanced"),
    "local weights": warned("kaito.sh/use-local-weights", "true"),
    "no benchmark": warned("kaito.sh/disable-benchmark", "true"),
    "streaming": warned("kaito.sh/model-streaming", "disabled"),
    "a node class": warned("kaito.sh/node-class-name", "default"),
    "a mirror": warned("kaito.sh/model-mirror-storage-class", "fast"),
    "an account for streaming": warned("kaito.sh/streaming-service-account", "reader"),
    "vllm": warned("kaito.sh/runtime", "vllm", "use transformers or remove it", "transformers"),
    "a key misspelt": Judged(
        policy="hints",
        field="metadata.annotations[kaito.sh/*]",
        bad=annotated("kaito.sh/enable-lb", "True"),
        good=annotated("kaito.sh/enablelb", "True"),
        says="not an annotation of a Workspace that is known here",
    ),
    "a preferred node": Judged(
        policy="hints",
        field="resource.preferredNodes",
        bad=merged(INFERENCE, {"resource": {"preferredNodes": ["node-1"]}}),
        good=INFERENCE,
        says="choose nodes by resource.labelSelector",
    ),
    "a reserved label": Judged(
        policy="hints",
        field="resource.labelSelector.matchLabels",
        bad=merged(
            INFERENCE, {"resource": {"labelSelector": {"matchLabels": {"kaito.sh/workspace": "x"}}}}
        ),
        good=INFERENCE,
        says="is reserved, and ignored",
    ),
    "preset with a letter too few": asked(
        "mistral-7b-instuct", "did you mean mistral-7b-instruct", "MISTRAL-7B-Instruct"
    ),
    "preset that begins wrongly": asked(
        "mstral-7b-instruct",
        "did you mean mistral-7b-instruct",
        "mistralai/Mistral-7B-Instruct-v0.1",
    ),
    "preset like nothing": asked(
        "zzz", "is not in the catalog. Known presets: ", "mistral-7b-instruct-v0.1"
    ),
    "preset to tune unknown": Judged(
        policy="presets",
        field="tuning.preset.name",
        bad=merged(TUNING, {"tuning": {"preset": {"name": "falcon-7b"}}}),
        good=merged(TUNING, {"tuning": {"preset": {"name": "mistral-7b"}}}),
        says='tuning.preset.name: "falcon-7b" is not in the catalog',
    ),
    "preset that cannot be tuned": Judged(
        policy="presets",
        field="tuning.preset.name",
        bad=merged(TUNING, {"tuning": {"preset": {"name": "mixtral-8x7b"}}}),
        good=merged(TUNING, {"tuning": {"preset": {"name": "Mistral-7B"}}}),
        says='"mixtral-8x7b" cannot be tuned',
    ),
    "instance type for nodes of one's own": Judged(
        policy="nodes-byo",
        field="resource.instanceType",
        bad=INFERENCE,
        good=merged(INFERENCE, {"resource": {"instanceType": None}}),
        says="instanceType must be empty when node auto-provisioning is disabled",
    ),
    "partition of a node that is made": Judged(
        policy="nodes-karpenter",
        field="resource.partition",
        bad=merged(INFERENCE, {"resource": {"partition": {"mode": "accelerator", "count": 1}}}),
        good=INFERENCE,
        says="GPU partitioning is only supported with BYO nodes",
    ),
}
