"""Workspaces that must be refused, with the field and the words that each refusal must hold."""

from dataclasses import dataclass

from tests.workspaces.good import INFERENCE, TUNING, Manifest, merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """A bad Workspace, and what must be said of it."""

    manifest: Manifest
    path: str
    says: str
    in_alpha: bool = True


def inference(patch: Manifest, path: str, says: str, *, in_alpha: bool = True) -> Bad:
    """Spoil a good Workspace that serves."""
    return Bad(manifest=merged(INFERENCE, patch), path=path, says=says, in_alpha=in_alpha)


def tuning(patch: Manifest, path: str, says: str, *, in_alpha: bool = True) -> Bad:
    """Spoil a good Workspace that tunes."""
    manifest = merged(TUNING, {"tuning": patch} if "tuning" not in patch else patch)
    return Bad(manifest=manifest, path=path, says=says, in_alpha=in_alpha)


def named(name: str) -> Bad:
    return inference({"metadata": {"name": name}}, "metadata.name", "starting with a letter")


def labelled(labels: Manifest, says: str) -> Bad:
    selector = {"labelSelector": {"matchLabels": {"apps": None, **labels}}}
    return inference({"resource": selector}, "resource.labelSelector.matchLabels", says)


def expression(operator: str, values: list[str]) -> Bad:
    one = {"key": "zone", "operator": operator, "values": values}
    return inference(
        {"resource": {"labelSelector": {"matchExpressions": [one]}}},
        "resource.labelSelector.matchExpressions[0].values",
        operator,
    )


def partition(fields: Manifest, path: str, says: str) -> Bad:
    full = f"resource.partition{path}"
    return inference({"resource": {"partition": fields}}, full, says, in_alpha=False)


def adapter(fields: Manifest, path: str, says: str) -> Bad:
    good = {"source": {"name": "style", "image": "example.com/style:1"}}
    return inference(
        {"inference": {"adapters": [merged(good, fields)]}}, f"inference.adapters[0]{path}", says
    )


def url(address: str, says: str) -> Bad:
    return tuning({"input": {"urls": [address]}}, "tuning.input.urls[0]", says)


_TWO_ALIKE = [{"source": {"name": "a", "image": f"example.com/a:{n}"}} for n in (1, 2)]
_ELEVEN = [{"source": {"name": f"a{n}", "image": "example.com/a:1"}} for n in range(11)]
_POD = {"spec": {"containers": [{"name": "a", "image": "b"}]}}
_PUBLIC = "use a public address"

OBJECT = {
    "name with a dot": named("phi-3.5-mini"),
    "name that begins with a digit": named("7b"),
    "name that ends with a dash": named("mistral-"),
    "name of 64 letters": named("m" * 64),
    "no resource": inference({"resource": None}, "resource", "required"),
    "neither": inference({"inference": None}, "inference", "not neither"),
    "both": Bad(
        manifest=merged(TUNING, {"inference": INFERENCE["inference"]}),
        path="tuning",
        says="but not both",
    ),
}

RESOURCE = {
    "count 0": inference(
        {"resource": {"count": 0}}, "resource.count", "greater than or equal to 1"
    ),
    "count -1": inference(
        {"resource": {"count": -1}}, "resource.count", "greater than or equal to 1"
    ),
    "no selector": inference(
        {"resource": {"labelSelector": None}}, "resource.labelSelector", "required"
    ),
    "only a reserved label": labelled({"kaito.sh/workspace": "x"}, "non-reserved"),
    "only reserved labels": labelled(
        {"kaito.sh/ragenginenamespace": "x", "karpenter.kaito.sh/workspace-name": "y"},
        "non-reserved",
    ),
    "label key with a space": labelled({"my app": "x"}, "label key"),
    "label key with two slashes": labelled({"a/b/c": "x"}, "label key"),
    "label value with a slash": labelled({"a": "x/y"}, "label value"),
    "In without values": expression("In", []),
    "NotIn without values": expression("NotIn", []),
    "Exists with values": expression("Exists", ["a"]),
    "operator unknown": inference(
        {"resource": {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}},
        "resource.labelSelector.matchExpressions[0].operator",
        "DoesNotExist",
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
        {"mode": "mig", "profile": "9g.99gb"}, ".profile", "9g.99gb"
    ),
    "accelerator with profile": partition(
        {"mode": "accelerator", "count": 1, "profile": "1g.5gb"}, ".profile", "not valid"
    ),
    "accelerator without count": partition({"mode": "accelerator"}, ".count", "number of GPUs"),
    "accelerator with count 0": partition(
        {"mode": "accelerator", "count": 0}, ".count", "greater than or equal to 1"
    ),
}

SERVING = {
    "empty inference": inference({"inference": {"preset": None}}, "inference", "must be specified"),
    "preset and template": inference(
        {"inference": {"template": _POD}}, "inference.template", "at the same time"
    ),
    "preset without name": inference(
        {"inference": {"preset": {"name": None}}}, "inference.preset.name", "required"
    ),
    "preset with an empty name": inference(
        {"inference": {"preset": {"name": ""}}}, "inference.preset.name", "at least 1"
    ),
    "access mode unknown": inference(
        {"inference": {"preset": {"accessMode": "secret"}}},
        "inference.preset.accessMode",
        "private",
    ),
    "preset image malformed": inference(
        {"inference": {"preset": {"presetOptions": {"image": "not an image"}}}},
        "inference.preset.presetOptions.image",
        "unable to parse image reference",
    ),
    "eleven adapters": inference(
        {"inference": {"adapters": _ELEVEN}}, "inference.adapters", "at most 10 items"
    ),
    "adapters of one name": inference(
        {"inference": {"adapters": _TWO_ALIKE}}, "inference.adapters", "Duplicate adapter source"
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
    "strength not a number": adapter({"strength": "half"}, ".strength", "Invalid strength value"),
    "strength not finite": adapter({"strength": "NaN"}, ".strength", "Invalid strength value"),
    "strength above 1": adapter({"strength": "1.5"}, ".strength", "between 0 and 1"),
    "strength below 0": adapter({"strength": "-0.1"}, ".strength", "between 0 and 1"),
}

TRAINING = {
    "tuning without preset": tuning({"preset": None}, "tuning.preset", "name the model to tune"),
    "tuning without method": tuning({"method": None}, "tuning.method", "use lora or qlora"),
    "tuning method unknown": tuning({"method": "full"}, "tuning.method", "use lora or qlora"),
    "tuning without input": tuning({"input": None}, "tuning.input", "required"),
    "tuning without output": tuning({"output": None}, "tuning.output", "required"),
    "tuning on two nodes": tuning(
        {"tuning": {}, "resource": {"count": 2}}, "resource.count", "node count to 1"
    ),
    "tuning on a partition": tuning(
        {"tuning": {}, "resource": {"partition": {"mode": "accelerator", "count": 1}}},
        "resource.partition",
        "not supported for tuning",
        in_alpha=False,
    ),
    "no input": tuning({"input": {"urls": None}}, "tuning.input", "Exactly one of URLs"),
    "empty list of urls": tuning({"input": {"urls": []}}, "tuning.input", "Exactly one of URLs"),
    "two inputs": tuning({"input": {"image": "a/b:1"}}, "tuning.input", "Exactly one of URLs"),
    "input image malformed": tuning(
        {"input": {"urls": None, "image": "A/B:1:2"}}, "tuning.input.image", "image reference"
    ),
    "no output": tuning(
        {"output": {"image": None}}, "tuning.output", "Exactly one of Volume or Image"
    ),
    "two outputs": tuning(
        {"output": {"volumeSource": {"emptyDir": {}}}},
        "tuning.output",
        "Exactly one of Volume or Image",
    ),
    "output image without secret": tuning(
        {"output": {"imagePushSecret": None}}, "tuning.output.imagePushSecret", "imagePushSecret"
    ),
    "output image malformed": tuning(
        {"output": {"image": "x:y:z"}}, "tuning.output.image", "image reference"
    ),
    "tuning image malformed": tuning(
        {"preset": {"presetOptions": {"image": "-"}}},
        "tuning.preset.presetOptions.image",
        "image reference",
    ),
    "url without scheme": url("example.com/data", "HTTP or HTTPS"),
    "url of a file": url("file:///etc/passwd", "HTTP or HTTPS"),
    "url without host": url("https:///data", "HTTP or HTTPS"),
    "url of this machine": url("http://LocalHost:8080/", _PUBLIC),
    "url below localhost": url("http://a.localhost./", _PUBLIC),
    "url of the metadata service": url("http://metadata.google.internal/x", _PUBLIC),
    "url of loopback": url("http://user@127.0.0.1/", _PUBLIC),
    "url of nowhere": url("http://0.0.0.0/", _PUBLIC),
    "url of a private network": url("https://10.1.2.3:8443?x", _PUBLIC),
    "url of another private network": url("https://172.31.0.1/", _PUBLIC),
    "url of a home network": url("https://192.168.1.1/", _PUBLIC),
    "url of the cloud's metadata": url("http://169.254.169.254/latest", _PUBLIC),
    "url of loopback, version 6": url("http://[::1]:80/", _PUBLIC),
    "url of mapped loopback": url("http://[::ffff:127.0.0.1]/", _PUBLIC),
    "url of link-local, version 6": url("http://[FE80::1]/", _PUBLIC),
    "url of unique-local, version 6": url("http://[fd00::1]/", _PUBLIC),
}

BAD: dict[str, Bad] = OBJECT | RESOURCE | SERVING | TRAINING
