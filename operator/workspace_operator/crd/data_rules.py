"""
The CEL rules of a tuning job, of where data comes from and goes to, and of images.

Invariant and source as in ``rules``, which joins these to its own.
"""

from workspace_operator.api.limits import (
    IMAGE,
    LOCAL_ADDRESS,
    LOCAL_NAME,
    SUBDOMAIN,
    TUNING_METHODS,
    URL,
)
from workspace_operator.crd.rule import FORBIDDEN, REQUIRED, Rule, pattern, quoted, unchanged

HAS_IMAGE = "(has(self.image) && self.image != '')"
HAS_URLS = "(has(self.urls) && size(self.urls) > 0)"
HAS_VOLUME = "has(self.volumeSource)"

TUNING = (
    Rule(
        path="tuning",
        cel="has(self.preset)",
        message="name the model to tune",
        field=".preset",
        reason=REQUIRED,
    ),
    Rule(
        path="tuning",
        cel="!has(oldSelf.preset) || (has(self.preset) && self.preset == oldSelf.preset)",
        message="Preset cannot be changed: make another Workspace",
        field=".preset",
        reason=FORBIDDEN,
    ),
    Rule(
        path="tuning",
        cel=f"has(self.method) && self.method.lowerAscii() in {quoted(TUNING_METHODS)}",
        message="{} is not a tuning method: use lora or qlora",
        value="(has(self.method) ? self.method : '')",
        field=".method",
    ),
    Rule(
        path="tuning",
        cel="!has(oldSelf.method) || (has(self.method) "
        "&& self.method.lowerAscii() == oldSelf.method.lowerAscii())",
        message="Method cannot be changed: make another Workspace",
        field=".method",
        reason=FORBIDDEN,
    ),
    Rule(
        path="tuning.input",
        cel=f"[{HAS_URLS}, {HAS_IMAGE}, {HAS_VOLUME}].exists_one(each, each)",
        message="Exactly one of URLs, Volume, or Image must be specified: set one of urls, "
        "volumeSource and image",
    ),
    Rule(
        path="tuning.input",
        cel=unchanged("name"),
        message="During tuning Name field cannot be changed once set: make another Workspace",
        field=".name",
        reason=FORBIDDEN,
    ),
    Rule(
        path="tuning.input.urls[]",
        cel=f"self.matches({pattern(URL)})",
        message="{} is no data source: a URL must use HTTP or HTTPS and name a host",
        value="self",
    ),
    Rule(
        path="tuning.input.urls[]",
        cel=f"!self.matches({pattern(LOCAL_NAME)})",
        message="{} must not target a local or metadata endpoint: use a public address",
        value="self",
    ),
    Rule(
        path="tuning.input.urls[]",
        cel=f"!self.matches({pattern(LOCAL_ADDRESS)})",
        message="{} must not target a loopback, private, or link-local address: use a public "
        "address",
        value="self",
    ),
    Rule(
        path="tuning.output",
        cel=f"{HAS_IMAGE} != {HAS_VOLUME}",
        message="Exactly one of Volume or Image must be specified: set one of volumeSource and "
        "image",
    ),
    Rule(
        path="tuning.output",
        cel=f"!{HAS_IMAGE} || (has(self.imagePushSecret) && self.imagePushSecret != '')",
        message="Must specify imagePushSecret with destination image: name the Secret to push with",
        field=".imagePushSecret",
        reason=REQUIRED,
    ),
)

IMAGES = tuple(
    Rule(
        path=path,
        cel=f"self == '' || self.matches({pattern(IMAGE)})",
        message="unable to parse image reference {}: write registry/repository:tag",
        value="self",
    )
    for path in (
        "inference.preset.presetOptions.image",
        "inference.adapters[].source.image",
        "tuning.preset.presetOptions.image",
        "tuning.input.image",
        "tuning.output.image",
    )
)

NAMES = tuple(
    Rule(
        path=path,
        cel=f"self == '' || self.matches({pattern(SUBDOMAIN)})",
        message=f"{{}} cannot name {thing}: use lower-case letters, digits, '-' and '.' (a "
        "DNS-1123 subdomain)",
        value="self",
        needs=path,
    )
    for path, thing in (
        ("inference.config", "a ConfigMap"),
        ("inference.preset.presetOptions.imagePullSecrets[]", "a Secret"),
        ("inference.preset.presetOptions.modelAccessSecret", "a Secret"),
        ("inference.adapters[].source.imagePullSecrets[]", "a Secret"),
        ("tuning.config", "a ConfigMap"),
        ("tuning.preset.presetOptions.imagePullSecrets[]", "a Secret"),
        ("tuning.preset.presetOptions.modelAccessSecret", "a Secret"),
        ("tuning.input.imagePullSecrets[]", "a Secret"),
        ("tuning.output.imagePushSecret", "a Secret"),
    )
)
