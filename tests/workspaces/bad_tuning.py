"""Tuning jobs that must be refused, as in `bad`."""

from tests.workspaces.row import Bad, tuning

_NAMED = "local or metadata endpoint"
_PRIVATE = "loopback, private, or link-local address"


def url(address: str, says: str) -> Bad:
    return tuning({"input": {"urls": [address]}}, "tuning.input.urls[0]", says)


TRAINING = {
    "tuning without preset": tuning({"preset": None}, "tuning.preset", "name the model to tune"),
    "tuning without method": tuning({"method": None}, "tuning.method", "use lora or qlora"),
    "tuning method unknown": tuning({"method": "full"}, "tuning.method", "use lora or qlora"),
    "tuning without input": tuning({"input": None}, "tuning.input", "required"),
    "tuning without output": tuning({"output": None}, "tuning.output", "required"),
    "tuning on two nodes": tuning(
        {"tuning": {}, "resource": {"count": 2}},
        "resource.count",
        "node count to 1",
        good={"tuning": {}, "resource": {"count": 1}},
    ),
    "tuning on a partition": tuning(
        {"tuning": {}, "resource": {"partition": {"mode": "accelerator", "count": 1}}},
        "resource.partition",
        "not supported for tuning",
        in_alpha=False,
    ),
    "tuning config that cannot be": tuning(
        {"config": "Lora Params"},
        "tuning.config",
        "cannot name a ConfigMap",
        good={"config": "lora-params"},
    ),
    "tuning pull secret that cannot be": tuning(
        {"preset": {"presetOptions": {"imagePullSecrets": ["A"]}}},
        "tuning.preset.presetOptions.imagePullSecrets[0]",
        "cannot name a Secret",
        good={"preset": {"presetOptions": {"imagePullSecrets": ["a"]}}},
    ),
    "tuning access secret that cannot be": tuning(
        {"preset": {"presetOptions": {"modelAccessSecret": "A"}}},
        "tuning.preset.presetOptions.modelAccessSecret",
        "cannot name a Secret",
        good={"preset": {"presetOptions": {"modelAccessSecret": "a"}}},
        in_alpha=False,
    ),
    "no input": tuning({"input": {"urls": None}}, "tuning.input", "Exactly one of URLs"),
    "empty list of urls": tuning({"input": {"urls": []}}, "tuning.input", "Exactly one of URLs"),
    "two inputs": tuning({"input": {"image": "a/b:1"}}, "tuning.input", "Exactly one of URLs"),
    "input image malformed": tuning(
        {"input": {"urls": None, "image": "A/B:1:2"}},
        "tuning.input.image",
        "image reference",
        good={"input": {"urls": None, "image": "a/b:1"}},
    ),
    "input pull secret that cannot be": tuning(
        {"input": {"imagePullSecrets": ["A"]}},
        "tuning.input.imagePullSecrets[0]",
        "cannot name a Secret",
        good={"input": {"imagePullSecrets": ["a"]}},
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
    "push secret that cannot be": tuning(
        {"output": {"imagePushSecret": "Push"}},
        "tuning.output.imagePushSecret",
        "cannot name a Secret",
    ),
    "output image malformed": tuning(
        {"output": {"image": "x:y:z"}}, "tuning.output.image", "image reference"
    ),
    "tuning image malformed": tuning(
        {"preset": {"presetOptions": {"image": "-"}}},
        "tuning.preset.presetOptions.image",
        "image reference",
        good={"preset": {"presetOptions": {"image": "example.com/tuner:1"}}},
    ),
    "url without scheme": url("example.com/data", "HTTP or HTTPS"),
    "url of a file": url("file:///etc/passwd", "HTTP or HTTPS"),
    "url without host": url("https:///data", "HTTP or HTTPS"),
    "url of this machine": url("http://LocalHost:8080/", _NAMED),
    "url below localhost": url("http://a.localhost./", _NAMED),
    "url of the metadata service": url("http://metadata.google.internal/x", _NAMED),
    "url of loopback": url("http://user@127.0.0.1/", _PRIVATE),
    "url of nowhere": url("http://0.0.0.0/", _PRIVATE),
    "url of a private network": url("https://10.1.2.3:8443?x", _PRIVATE),
    "url of another private network": url("https://172.31.0.1/", _PRIVATE),
    "url of a home network": url("https://192.168.1.1/", _PRIVATE),
    "url of the cloud's metadata": url("http://169.254.169.254/latest", _PRIVATE),
    "url of a multicast group": url("http://224.0.0.1/", _PRIVATE),
    "url of loopback, version 6": url("http://[::1]:80/", _PRIVATE),
    "url of mapped loopback": url("http://[::ffff:127.0.0.1]/", _PRIVATE),
    "url of link-local, version 6": url("http://[FE80::1]/", _PRIVATE),
    "url of unique-local, version 6": url("http://[fd00::1]/", _PRIVATE),
    "url of a multicast group, version 6": url("http://[ff02::1]/", _PRIVATE),
}
