"""
What the fields of a model to serve, or of a tuning job with its data, must satisfy.

Invariant and source as in ``rules``, which calls these.
Must not import kopf, kubernetes, asyncio, os or time.
"""

import re
from collections.abc import Iterator

from workspace_operator.api.limits import (
    DECIMAL,
    IMAGE,
    LOCAL_ADDRESS,
    LOCAL_NAME,
    SUBDOMAIN,
    TUNING_METHODS,
    URL,
)
from workspace_operator.api.violation import Violation
from workspace_operator.api.workspace import (
    Adapter,
    DataDestination,
    DataSource,
    Inference,
    Preset,
    Resource,
    Tuning,
)


def _preset_rules(preset: Preset, path: str) -> Iterator[Violation]:
    options = preset.preset_options
    if options is None:
        return
    if options.image and not re.fullmatch(IMAGE, options.image):
        yield Violation(path=f"{path}.presetOptions.image", why=_bad_image(options.image))
    yield from _pull_secret_rules(options.image_pull_secrets, f"{path}.presetOptions")
    yield from _name_rules(
        options.model_access_secret, f"{path}.presetOptions.modelAccessSecret", "a Secret"
    )


def _pull_secret_rules(names: tuple[str, ...], path: str) -> Iterator[Violation]:
    for index, name in enumerate(names):
        yield from _name_rules(name, f"{path}.imagePullSecrets[{index}]", "a Secret")


def _name_rules(name: str | None, path: str, thing: str) -> Iterator[Violation]:
    """Refuse the name of an object that no object can have: the pod would never start."""
    if name and not re.fullmatch(SUBDOMAIN, name):
        yield Violation(
            path=path,
            why=f"{name!r} cannot name {thing}: use lower-case letters, digits, '-' and '.' "
            "(a DNS-1123 subdomain)",
        )


def _bad_image(image: str) -> str:
    return f"unable to parse image reference {image!r}: write registry/repository:tag"


def inference_rules(inference: Inference) -> Iterator[Violation]:
    """Give every broken rule of a model to serve."""
    if inference.preset is None and inference.template is None:
        yield Violation(
            path="inference",
            why="Preset or Template must be specified: add preset.name, such as "
            "mistral-7b-instruct",
        )
    if inference.preset is not None and inference.template is not None:
        yield Violation(
            path="inference.template",
            why="Preset and Template cannot be set at the same time: remove one of them",
        )
    if inference.preset is not None:
        yield from _preset_rules(inference.preset, "inference.preset")
    yield from _name_rules(inference.config, "inference.config", "a ConfigMap")
    seen: set[str] = set()
    for index, adapter in enumerate(inference.adapters):
        path = f"inference.adapters[{index}]"
        yield from _adapter_rules(adapter, path)
        name = adapter.source.name if adapter.source is not None else None
        if name and name in seen:
            yield Violation(
                path="inference.adapters",
                why=f"Duplicate adapter source name found: {name!r}; give each its own name",
            )
        seen.add(name or "")


def _adapter_rules(adapter: Adapter, path: str) -> Iterator[Violation]:
    if adapter.source is None:
        yield Violation(
            path=f"{path}.source", why="missing: name the source, and its image or volumeSource"
        )
    else:
        yield from _adapter_source_rules(adapter.source, f"{path}.source")
    if adapter.strength is None:
        return
    if not re.fullmatch(DECIMAL, adapter.strength):
        yield Violation(
            path=f"{path}.strength",
            why=f"Invalid strength value {adapter.strength!r}: write a decimal such as '0.5'",
        )
    elif not 0 <= float(adapter.strength) <= 1:
        yield Violation(
            path=f"{path}.strength",
            why=f"Strength value {adapter.strength!r} must be between 0 and 1",
        )


def _adapter_source_rules(source: DataSource, path: str) -> Iterator[Violation]:
    if not source.name:
        yield Violation(path=f"{path}.name", why="Name of Adapter field must be specified")
    elif not re.fullmatch(SUBDOMAIN, source.name):
        yield Violation(
            path=f"{path}.name",
            why=f"{source.name!r}: use lower-case letters, digits, '-' and '.' "
            "(a DNS-1123 subdomain)",
        )
    if source.urls:
        yield Violation(
            path=f"{path}.urls",
            why="URLs are not supported as adapter source: use image or volumeSource",
        )
    if bool(source.image) == (source.volume_source is not None):
        yield Violation(
            path=path,
            why="Either Image or Volume must be specified for adapter source: set exactly one of "
            "image and volumeSource",
        )
    if source.image and not re.fullmatch(IMAGE, source.image):
        yield Violation(path=f"{path}.image", why=_bad_image(source.image))
    yield from _pull_secret_rules(source.image_pull_secrets, path)


def tuning_rules(resource: Resource, tuning: Tuning) -> Iterator[Violation]:
    """Give every broken rule of a tuning job."""
    if tuning.preset is None:
        yield Violation(path="tuning.preset", why="missing: name the model to tune")
    else:
        yield from _preset_rules(tuning.preset, "tuning.preset")
    if (tuning.method or "").lower() not in TUNING_METHODS:
        yield Violation(
            path="tuning.method",
            why=f"{tuning.method!r} is not a tuning method: use lora or qlora",
        )
    if resource.count != 1:
        yield Violation(
            path="resource.count",
            why=f"{resource.count}: Tuning does not currently support multinode "
            "configurations. Please set the node count to 1",
        )
    if resource.partition is not None:
        yield Violation(
            path="resource.partition",
            why="GPU partitioning is not supported for tuning workloads: remove it",
        )
    yield from _name_rules(tuning.config, "tuning.config", "a ConfigMap")
    yield from _data_source_rules(tuning.input)
    yield from _destination_rules(tuning.output)


def _data_source_rules(source: DataSource) -> Iterator[Violation]:
    path = "tuning.input"
    if sum((bool(source.urls), bool(source.image), source.volume_source is not None)) != 1:
        yield Violation(
            path=path,
            why="Exactly one of URLs, Volume, or Image must be specified: set one of urls, "
            "volumeSource and image",
        )
    for index, url in enumerate(source.urls):
        why = _bad_url(url)
        if why is not None:
            yield Violation(path=f"{path}.urls[{index}]", why=why)
    if source.image and not re.fullmatch(IMAGE, source.image):
        yield Violation(path=f"{path}.image", why=_bad_image(source.image))
    yield from _pull_secret_rules(source.image_pull_secrets, path)


def _bad_url(url: str) -> str | None:
    """
    Say why an address may not be downloaded from, or None where it may.

    Only public http and https addresses may: a data source must not make a pod inside the cluster
    read the cloud's metadata service or a neighbour for a user who could not.
    """
    if not re.search(URL, url):
        return f"{url!r}: a data source URL must use HTTP or HTTPS and name a host"
    if re.search(LOCAL_NAME, url):
        return f"{url!r} must not target a local or metadata endpoint: use a public address"
    if re.search(LOCAL_ADDRESS, url):
        return (
            f"{url!r} must not target a loopback, private, or link-local address: "
            "use a public address"
        )
    return None


def _destination_rules(output: DataDestination) -> Iterator[Violation]:
    path = "tuning.output"
    if bool(output.image) == (output.volume_source is not None):
        yield Violation(
            path=path,
            why="Exactly one of Volume or Image must be specified: set one of volumeSource "
            "and image",
        )
    if output.image and not output.image_push_secret:
        yield Violation(
            path=f"{path}.imagePushSecret",
            why="Must specify imagePushSecret with destination image: name the Secret to push with",
        )
    yield from _name_rules(output.image_push_secret, f"{path}.imagePushSecret", "a Secret")
    if output.image and not re.fullmatch(IMAGE, output.image):
        yield Violation(path=f"{path}.image", why=_bad_image(output.image))
