"""
Hold every choice that the administrator of the cluster makes, parsed and checked once.

The chart writes environment variables, `__main__` reads them, and the rest of the program sees this
frozen value. Each field carries its variable's name and its meaning, so that `--help`, the error
messages and the documentation cannot disagree.

Invariant: a `Settings` that exists is usable; a bad value is refused here, by name.
Must not import anything of this package but what stands below it, nor read the environment.
"""

# ruff: noqa: RUF009 - `_setting` is dataclasses.field under another name: it makes a fresh one

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from workspace_operator import variables
from workspace_operator.choices import (
    NODE_CLASSES,
    Cloud,
    LogLevel,
    NodeClass,
    NodeProvisioner,
    Probe,
    PullPolicy,
)
from workspace_operator.figures import NO_FIGURES, Figures
from workspace_operator.registries import registry_of
from workspace_operator.variables import BadSetting

__all__ = [
    "BadSetting",
    "Cloud",
    "LogLevel",
    "NodeClass",
    "NodeProvisioner",
    "Probe",
    "PullPolicy",
    "Settings",
]


def _setting(
    variable: str,
    default: Any,  # noqa: ANN401 - a dataclass default takes the field's own type
    meaning: str,
    parse: Callable[[str, str], Any] = variables.text,
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
        parse=variables.boolean,
    )
    node_provisioner: NodeProvisioner = _setting(
        "ATELIER_NODE_PROVISIONER",
        NodeProvisioner.KARPENTER,
        "karpenter (a NodeClaim per node) or byo (nodes that are already there)",
        variables.one_of(NodeProvisioner),
    )
    cloud: Cloud = _setting(
        "ATELIER_CLOUD",
        Cloud.AZURE,
        "profile of the node class: azure, aws, gcp or kwok",
        variables.one_of(Cloud),
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
        variables.image,
    )
    preset_digests: Mapping[str, str] = _setting(
        "ATELIER_PRESET_DIGESTS",
        MappingProxyType({}),
        "digests of preset images, as preset=sha256:..., with commas between",
        variables.digests,
        shown="none",
    )
    tuning_image: str = _setting(
        "ATELIER_TUNING_IMAGE",
        "atelier/{preset}-tuning:{version}",
        "image that tunes a preset; both placeholders optional",
        variables.image,
    )
    tuning_digests: Mapping[str, str] = _setting(
        "ATELIER_TUNING_DIGESTS",
        MappingProxyType({}),
        "digests of tuning images, as preset=sha256:..., with commas between",
        variables.digests,
        shown="none",
    )
    plain_http_registries: frozenset[str] = _setting(
        "ATELIER_PLAIN_HTTP_REGISTRIES",
        frozenset(),
        "registries without TLS for data and adapters, as host:port, with commas between",
        variables.hosts,
        shown="none",
    )
    hub_endpoint: str | None = _setting(
        "ATELIER_HUB_ENDPOINT",
        None,
        "model hub that weights are fetched from when a pod starts, or its mirror",
        variables.address,
        shown="the public hub",
    )
    image_pull_policy: PullPolicy = _setting(
        "ATELIER_IMAGE_PULL_POLICY",
        PullPolicy.IF_NOT_PRESENT,
        "of the model pod",
        variables.one_of(PullPolicy),
    )
    rollout_seconds: int = _setting(
        "ATELIER_ROLLOUT_SECONDS",
        1800,
        "how long a new revision of a pod may take to its first token before it is taken back",
        variables.seconds,
    )
    model_network_policy: bool = _setting(
        "ATELIER_MODEL_NETWORK_POLICY",
        default=True,
        meaning="give each model pod a NetworkPolicy",
        parse=variables.boolean,
    )
    model_clients: tuple[Mapping[str, Any], ...] = _setting(
        "ATELIER_MODEL_CLIENTS",
        ({"namespaceSelector": {}},),
        "who may reach a model, as a JSON list of NetworkPolicy peers",
        variables.peers,
        shown='[{"namespaceSelector": {}}]',
    )
    probe: Probe = _setting(
        "ATELIER_PROBE",
        Probe.DIRECT,
        "direct (a token asked from each pod) or readiness (the pod's own condition)",
        variables.one_of(Probe),
    )
    probe_interval_seconds: int = _setting(
        "ATELIER_PROBE_INTERVAL_SECONDS", 30, "re-check of a Ready Workspace", variables.seconds
    )
    resync_seconds: int = _setting(
        "ATELIER_RESYNC_SECONDS",
        60,
        "sweep over everything, the net under missed events",
        variables.seconds,
    )
    preset_directory: Path | None = _setting(
        "ATELIER_PRESET_DIRECTORY",
        None,
        "extra presets, as files",
        variables.directory,
        shown="none",
    )
    figures: Figures = _setting(
        "ATELIER_PLAN_FIGURES",
        NO_FIGURES,
        "file with prices and expected minutes for status.plan",
        variables.figures,
        shown="none",
    )
    metrics_port: int = _setting("ATELIER_METRICS_PORT", 8080, "Prometheus metrics", variables.port)
    health_port: int = _setting("ATELIER_HEALTH_PORT", 8081, "/healthz", variables.port)
    log_level: LogLevel = _setting(
        "ATELIER_LOG_LEVEL",
        LogLevel.INFO,
        "debug, info, warning or error",
        variables.one_of(LogLevel),
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
        return self._named(self.preset_image, self.preset_digests, preset)

    def tuning_image_for(self, preset: str) -> str:
        """Return the image that tunes this preset, by its digest where that is known."""
        return self._named(self.tuning_image, self.tuning_digests, preset)

    def speaks_plain_http(self, image: str) -> bool:
        """Say whether an image's registry has no TLS, as the administrator says."""
        return registry_of(image) in self.plain_http_registries

    def _named(self, image: str, digests: Mapping[str, str], preset: str) -> str:
        name = image.format(preset=preset, version=self.version)
        digest = digests.get(preset)
        return f"{name}@{digest}" if digest else name


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
