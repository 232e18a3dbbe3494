"""
Hold every choice that the administrator of the cluster makes, parsed and checked once.

The chart writes environment variables, `__main__` reads them, and the rest of the program sees this
frozen value. Each field carries its variable's name and its meaning, so that `--help`, the error
messages and the documentation cannot disagree.

Invariant: a `Settings` that exists is usable; a bad value is refused here, by name.
Must not import anything of this package, nor read the environment.
"""

# ruff: noqa: RUF009 - `_setting` is dataclasses.field under another name: it makes a fresh one

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Any, Self

MAX_PORT = 65535
PEER_FIELDS = frozenset({"ipBlock", "namespaceSelector", "podSelector"})
IMAGE_PLACEHOLDERS = frozenset({"preset", "version"})


class BadSetting(ValueError):
    """Say which variable is wrong, what it held, and what would be right."""

    def __init__(self, variable: str, value: str, remedy: str) -> None:
        """Keep the variable's name apart for the caller."""
        super().__init__(f"{variable}={value!r}: {remedy}")
        self.variable = variable


class NodeProvisioner(StrEnum):
    """Say who brings nodes."""

    KARPENTER = "karpenter"
    BYO = "byo"


class Probe(StrEnum):
    """Say how a pod is asked whether it serves."""

    DIRECT = "direct"
    READINESS = "readiness"


class Cloud(StrEnum):
    """Name the profile of node classes."""

    AZURE = "azure"
    AWS = "aws"
    GCP = "gcp"
    KWOK = "kwok"


class PullPolicy(StrEnum):
    """Say when the kubelet pulls the model's image."""

    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LogLevel(StrEnum):
    """Name the least severe event that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """Point at the cloud's half of a NodeClaim: image, network, disks."""

    group: str
    kind: str
    name: str


# Source: the providers' CustomResourceDefinitions; for azure, KAITO's own class.
NODE_CLASSES: Mapping[Cloud, NodeClass] = {
    Cloud.AZURE: NodeClass(group="kaito.sh", kind="KaitoNodeClass", name="default"),
    Cloud.AWS: NodeClass(group="karpenter.k8s.aws", kind="EC2NodeClass", name="default"),
    Cloud.GCP: NodeClass(group="karpenter.k8s.gcp", kind="GCENodeClass", name="default"),
    Cloud.KWOK: NodeClass(group="karpenter.kwok.sh", kind="KWOKNodeClass", name="default"),
}


def _choice(variable: str, text: str, values: type[StrEnum]) -> StrEnum:
    try:
        return values(text)
    except ValueError:
        raise BadSetting(variable, text, f"use one of {', '.join(values)}") from None


def _boolean(variable: str, text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise BadSetting(variable, text, "use true or false")
    return text.lower() == "true"


def _seconds(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadSetting(variable, text, "use a whole number of seconds, at least 1")
    return int(text)


def _port(variable: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= MAX_PORT):
        raise BadSetting(variable, text, f"use a port from 1 to {MAX_PORT}")
    return int(text)


def _image(variable: str, text: str) -> str:
    try:
        names = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    except ValueError:
        names = {"?"}
    if not names <= IMAGE_PLACEHOLDERS:
        remedy = "use an image reference whose only placeholders are {preset} and {version}"
        raise BadSetting(variable, text, remedy)
    return text


def _digests(variable: str, text: str) -> Mapping[str, str]:
    pairs = dict(re.findall(r"([^=,]+)=(sha256:[0-9a-f]{64})(?:,|$)", text))
    if ",".join("=".join(pair) for pair in pairs.items()) != text:
        remedy = "use preset=sha256:... (64 hex digits), with commas between"
        raise BadSetting(variable, text, remedy)
    return MappingProxyType(pairs)


def _directory(variable: str, text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise BadSetting(variable, text, "name an existing directory of preset files, or unset it")
    return path


def _peers(variable: str, text: str) -> tuple[Mapping[str, Any], ...]:
    """Read peers; what is in them is for the API server to judge."""
    try:
        peers = json.loads(text)
    except ValueError:
        peers = None
    if not isinstance(peers, list) or not all(
        isinstance(peer, dict) and peer.keys() and peer.keys() <= PEER_FIELDS for peer in peers
    ):
        remedy = f"use a JSON list of objects with {', '.join(sorted(PEER_FIELDS))}"
        raise BadSetting(variable, text, remedy)
    return tuple(peers)


def _text(_variable: str, text: str) -> str:
    return text


def _one_of(values: type[StrEnum]) -> Callable[[str, str], StrEnum]:
    return lambda variable, text: _choice(variable, text, values)


def _setting(
    variable: str,
    default: Any,  # noqa: ANN401 - a dataclass default takes the field's own type
    meaning: str,
    parse: Callable[[str, str], Any] = _text,
    shown: str | None = None,
) -> Any:  # noqa: ANN401 - as dataclasses.field itself
    """Declare a field together with the variable that fills it."""
    shown = str(default).lower() if isinstance(default, bool) else shown or str(default)
    metadata = {"variable": variable, "meaning": meaning, "parse": parse, "shown": shown}
    return field(default_factory=lambda: default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Carry the administrator's choices; every field names its variable."""

    namespace: str = _setting("ATELIER_NAMESPACE", "atelier-system", "where the Lease lives")
    pod_name: str = _setting(
        "ATELIER_POD_NAME", "", "identity of the Lease holder", shown="host name"
    )
    lease_name: str = _setting("ATELIER_LEASE_NAME", "atelier-operator", "name of the Lease")
    leader_election: bool = _setting(
        "ATELIER_LEADER_ELECTION",
        default=True,
        meaning="false only for a single process outside the cluster",
        parse=_boolean,
    )
    node_provisioner: NodeProvisioner = _setting(
        "ATELIER_NODE_PROVISIONER",
        NodeProvisioner.KARPENTER,
        "karpenter (a NodeClaim per node) or byo (nodes that are already there)",
        _one_of(NodeProvisioner),
    )
    cloud: Cloud = _setting(
        "ATELIER_CLOUD",
        Cloud.AZURE,
        "profile of the node class: azure, aws, gcp or kwok",
        _one_of(Cloud),
    )
    node_class_group: str | None = _setting(
        "ATELIER_NODE_CLASS_GROUP", None, "API group of the node class", shown="the profile's"
    )
    node_class_kind: str | None = _setting(
        "ATELIER_NODE_CLASS_KIND", None, "kind of the node class", shown="the profile's"
    )
    node_class_name: str | None = _setting(
        "ATELIER_NODE_CLASS_NAME", None, "name of the node class", shown="the profile's"
    )
    preset_image: str = _setting(
        "ATELIER_PRESET_IMAGE",
        "atelier/{preset}:{version}",
        "image of a preset; both placeholders optional",
        _image,
    )
    preset_digests: Mapping[str, str] = _setting(
        "ATELIER_PRESET_DIGESTS",
        MappingProxyType({}),
        "digests of preset images, as preset=sha256:..., with commas between",
        _digests,
        shown="none",
    )
    image_pull_policy: PullPolicy = _setting(
        "ATELIER_IMAGE_PULL_POLICY",
        PullPolicy.IF_NOT_PRESENT,
        "of the model pod",
        _one_of(PullPolicy),
    )
    model_network_policy: bool = _setting(
        "ATELIER_MODEL_NETWORK_POLICY",
        default=True,
        meaning="give each model pod a NetworkPolicy",
        parse=_boolean,
    )
    model_clients: tuple[Mapping[str, Any], ...] = _setting(
        "ATELIER_MODEL_CLIENTS",
        ({"namespaceSelector": {}},),
        "who may reach a model, as a JSON list of NetworkPolicy peers",
        _peers,
        shown='[{"namespaceSelector": {}}]',
    )
    probe: Probe = _setting(
        "ATELIER_PROBE",
        Probe.DIRECT,
        "direct (a token asked from each pod) or readiness (the pod's own condition)",
        _one_of(Probe),
    )
    probe_interval_seconds: int = _setting(
        "ATELIER_PROBE_INTERVAL_SECONDS", 30, "re-check of a Ready Workspace", _seconds
    )
    resync_seconds: int = _setting(
        "ATELIER_RESYNC_SECONDS", 60, "sweep over everything, the net under missed events", _seconds
    )
    preset_directory: Path | None = _setting(
        "ATELIER_PRESET_DIRECTORY", None, "extra presets, as files", _directory, shown="none"
    )
    metrics_port: int = _setting("ATELIER_METRICS_PORT", 8080, "Prometheus metrics", _port)
    health_port: int = _setting("ATELIER_HEALTH_PORT", 8081, "/healthz", _port)
    log_level: LogLevel = _setting(
        "ATELIER_LOG_LEVEL", LogLevel.INFO, "debug, info, warning or error", _one_of(LogLevel)
    )
    kubeconfig: str | None = _setting(
        "KUBECONFIG",
        None,
        "file that says which cluster, for a process outside of it",
        shown="in-cluster, else ~/.kube/config",
    )
    version: str = version("atelier")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """
        Parse the variables that are set and not empty; the rest keep their defaults.

        Raises:
            BadSetting: A value cannot be used; the message names variable, value and remedy.

        """
        return cls(
            **{
                setting.name: setting.metadata["parse"](variable, environment[variable])
                for setting in documented()
                if environment.get(variable := setting.metadata["variable"])
            }
        )

    @property
    def node_class(self) -> NodeClass:
        """Return the cloud's profile with the administrator's overrides on top."""
        profile = NODE_CLASSES[self.cloud]
        return NodeClass(
            group=self.node_class_group or profile.group,
            kind=self.node_class_kind or profile.kind,
            name=self.node_class_name or profile.name,
        )

    def image_for(self, preset: str) -> str:
        """Return the image that serves this preset, by its digest where that is known."""
        image = self.preset_image.format(preset=preset, version=self.version)
        digest = self.preset_digests.get(preset)
        return f"{image}@{digest}" if digest else image


def documented() -> list[Field[Any]]:
    """Return the fields that a variable fills, in the order of the documentation."""
    return [setting for setting in fields(Settings) if setting.metadata]


def environment_table() -> str:
    """Describe every variable, one per line, for `--help`."""
    rows = [
        (row.metadata["variable"], row.metadata["shown"], row.metadata["meaning"])
        for row in documented()
    ]
    wide = max(len(name) for name, _, _ in rows)
    return "\n".join(f"  {name:<{wide}}  {meaning} [{shown}]" for name, shown, meaning in rows)
