"""Workspaces that must be refused, with the field and the words that each refusal must hold."""

from tests.workspaces.bad_tuning import TRAINING
from tests.workspaces.good import INFERENCE, TUNING, Manifest, merged
from tests.workspaces.row import Bad, inference

_MINIMUM = "greater than or equal to 1"


def named(name: str) -> Bad:
    return inference({"metadata": {"name": name}}, "metadata.name", "starting with a letter")


def labelled(labels: Manifest, says: str, good: Manifest) -> Bad:
    bad, mended = (
        {"resource": {"labelSelector": {"matchLabels": {"apps": None, **each}}}}
        for each in (labels, good)
    )
    return inference(bad, "resource.labelSelector.matchLabels", says, good=mended)


def selected(one: Manifest, path: str, says: str, good: Manifest) -> Bad:
    bad, mended = (
        {"resource": {"labelSelector": {"matchExpressions": [each]}}}
        for each in (one, {"key": "zone", **good})
    )
    full = f"resource.labelSelector.matchExpressions[0]{path}"
    return inference(bad, full, says, good=mended)


def expression(operator: str, values: list[str]) -> Bad:
    good = {"operator": operator, "values": [] if values else ["a"]}
    one = {"key": "zone", "operator": operator, "values": values}
    return selected(one, ".values", operator, good)


def partition(fields: Manifest, path: str, says: str) -> Bad:
    mode = fields.get("mode", "mig")
    good = {"mig": {"mode": "mig", "profile": "1g.10gb"}}.get(
        mode, {"mode": "accelerator", "count": 2}
    )
    return inference(
        {"resource": {"partition": fields}},
        f"resource.partition{path}",
        says,
        good={"resource": {"partition": good}},
        in_alpha=False,
    )


def adapter(fields: Manifest, path: str, says: str, good: Manifest | None = None) -> Bad:
    whole = {"source": {"name": "style", "image": "example.com/style:1"}}
    bad, mended = (
        {"inference": {"adapters": [merged(whole, each)]}} for each in (fields, good or {})
    )
    return inference(bad, f"inference.adapters[0]{path}", says, good=mended)


def preset(fields: Manifest, path: str, says: str, good: Manifest) -> Bad:
    bad, mended = ({"inference": {"preset": each}} for each in (fields, good))
    alpha = "modelAccessSecret" not in path
    return inference(bad, f"inference.preset.{path}", says, good=mended, in_alpha=alpha)


def options(name: str, bad: object, says: str, good: object, at: str = "") -> Bad:
    return preset(
        {"presetOptions": {name: bad}},
        f"presetOptions.{name}{at}",
        says,
        {"presetOptions": {name: good}},
    )


_TWO_ALIKE = [{"source": {"name": "a", "image": f"example.com/a:{n}"}} for n in (1, 2)]
_TWO = [{"source": {"name": f"a{n}", "image": "example.com/a:1"}} for n in (1, 2)]
_ELEVEN = [{"source": {"name": f"a{n}", "image": "example.com/a:1"}} for n in range(11)]
_POD = {"spec": {"containers": [{"name": "a", "image": "b"}]}}

OBJECT = {
    "name with a dot": named("phi-3.5-mini"),
    "name that begins with a digit": named("7b"),
    "name that ends with a dash": named("mistral-"),
    "name of 64 letters": named("m" * 64),
    "no resource": inference({"resource": None}, "resource", "required"),
    "neither": inference({"inference": None}, "inference", "not neither"),
    "both": Bad(
        manifest=merged(TUNING, {"inference": INFERENCE["inference"]}),
        good=TUNING,
        path="tuning",
        says="but not both",
    ),
}

RESOURCE = {
    "count 0": inference(
        {"resource": {"count": 0}}, "resource.count", _MINIMUM, good={"resource": {"count": 2}}
    ),
    "count -1": inference({"resource": {"count": -1}}, "resource.count", _MINIMUM),
    "no selector": inference(
        {"resource": {"labelSelector": None}}, "resource.labelSelector", "required"
    ),
    "only a reserved label": labelled(
        {"kaito.sh/workspace": "x"}, "non-reserved", {"kaito.sh/workspace": "x", "apps": "mistral"}
    ),
    "only reserved labels": labelled(
        {"kaito.sh/ragenginenamespace": "x", "karpenter.kaito.sh/workspace-name": "y"},
        "non-reserved",
        {"apps": "mistral"},
    ),
    "label key with a space": labelled({"my app": "x"}, "label key", {"my-app": "x"}),
    "label key with two slashes": labelled({"a/b/c": "x"}, "label key", {"a/b": "x"}),
    "label value with a slash": labelled({"a": "x/y"}, "label value", {"a": "x-y"}),
    "In without values": expression("In", []),
    "NotIn without values": expression("NotIn", []),
    "Exists with values": expression("Exists", ["a"]),
    "operator unknown": selected(
        {"key": "zone", "operator": "Near"}, ".operator", "DoesNotExist", {"operator": "Exists"}
    ),
    "expression with a bad key": selected(
        {"key": "a b", "operator": "Exists"}, ".key", "label key", {"operator": "Exists"}
    ),
    "expression with a bad value": selected(
        {"key": "zone", "operator": "In", "values": ["a b"]},
        ".values[0]",
        "label value",
        {"operator": "In", "values": ["a-b"]},
    ),
    "partition by time": partition({"mode": "time"}, ".mode", "accelerator"),
    "partition without mode": partition({"profile": "1g.10gb"}, ".mode", "required"),
    "mig with count": partition(
        {"mode": "mig", "profile": "1g.10gb", "count": 1}, ".count", "only"
    ),
    "mig without profile": partition({"mode": "mig"}, ".profile", "1g.10gb"),
    "mig with a malformed profile": partition(
        {"mode": "mig", "profile": "1g5gb"}, ".profile", "MIG profile"
    ),
    "mig with an unknown profile": partition(
        {"mode": "mig", "profile": "9g.99gb"}, ".profile", "MIG profile"
    ),
    "accelerator with profile": partition(
        {"mode": "accelerator", "count": 1, "profile": "1g.5gb"}, ".profile", "not valid"
    ),
    "accelerator without count": partition({"mode": "accelerator"}, ".count", "number of GPUs"),
    "accelerator with count 0": partition({"mode": "accelerator", "count": 0}, ".count", _MINIMUM),
}

SERVING = {
    "empty inference": inference(
        {"inference": {"preset": None}}, "inference", "Preset or Template"
    ),
    "preset and template": inference(
        {"inference": {"template": _POD}},
        "inference.template",
        "at the same time",
        good={"inference": {"preset": None, "template": _POD}},
    ),
    "preset without name": inference(
        {"inference": {"preset": {"name": None}}}, "inference.preset.name", "required"
    ),
    "preset with an empty name": inference(
        {"inference": {"preset": {"name": ""}}}, "inference.preset.name", "at least 1"
    ),
    "access mode unknown": preset(
        {"accessMode": "secret"}, "accessMode", "private", {"accessMode": "private"}
    ),
    "preset image malformed": options(
        "image", "not an image", "unable to parse image reference", "example.com/mistral:1"
    ),
    "pull secret that cannot be": options(
        "imagePullSecrets", ["My Secret"], "cannot name a Secret", ["my-secret"], "[0]"
    ),
    "access secret that cannot be": options(
        "modelAccessSecret", "hf/token", "cannot name a Secret", "hf-token"
    ),
    "config that cannot be": inference(
        {"inference": {"config": "Settings!"}},
        "inference.config",
        "cannot name a ConfigMap",
        good={"inference": {"config": "settings"}},
    ),
    "eleven adapters": inference(
        {"inference": {"adapters": _ELEVEN}},
        "inference.adapters",
        "at most 10 items",
        good={"inference": {"adapters": _ELEVEN[:10]}},
    ),
    "adapters of one name": inference(
        {"inference": {"adapters": _TWO_ALIKE}},
        "inference.adapters",
        "Duplicate adapter source",
        good={"inference": {"adapters": _TWO}},
    ),
    "empty adapter": adapter({"source": None}, ".source", "image or volumeSource"),
    "adapter without name": adapter({"source": {"name": None}}, ".source.name", "Name of Adapter"),
    "adapter with a bad name": adapter({"source": {"name": "My_A"}}, ".source.name", "DNS-1123"),
    "adapter from urls": adapter(
        {"source": {"urls": ["https://example.com/a"]}}, ".source.urls", "not supported"
    ),
    "adapter from nowhere": adapter({"source": {"image": None}}, ".source", "Image or Volume"),
    "adapter from image and volume": adapter(
        {"source": {"volumeSource": {"emptyDir": {}}}}, ".source", "exactly one"
    ),
    "adapter image malformed": adapter(
        {"source": {"image": "a b"}}, ".source.image", "image reference"
    ),
    "adapter pull secret that cannot be": adapter(
        {"source": {"imagePullSecrets": ["-"]}},
        ".source.imagePullSecrets[0]",
        "cannot name a Secret",
        {"source": {"imagePullSecrets": ["pull"]}},
    ),
    "strength not a number": adapter(
        {"strength": "half"}, ".strength", "Invalid strength value", {"strength": "0.5"}
    ),
    "strength not finite": adapter({"strength": "NaN"}, ".strength", "Invalid strength value"),
    "strength above 1": adapter(
        {"strength": "1.5"}, ".strength", "between 0 and 1", {"strength": "1"}
    ),
    "strength below 0": adapter({"strength": "-0.1"}, ".strength", "between 0 and 1"),
}

BAD: dict[str, Bad] = OBJECT | RESOURCE | SERVING | TRAINING
