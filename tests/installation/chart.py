"""Render the chart with the real Helm, and apply the parts that a test asks for."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tests.cluster import ControlPlane, binary

CHART = Path(__file__).parents[2] / "charts" / "atelier"
RELEASE_VALUES = CHART / "values-release.yaml"
RELEASE = "atelier"
NAMESPACE = "atelier-system"
NOT_WORKLOAD = ("CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role")
HELM_SECONDS = 50
NO_VALUES: Mapping[str, object] = MappingProxyType({})

Manifest = dict[str, Any]


class ChartError(RuntimeError):
    """Helm refused; the message is what it said."""


def value_arguments(values: Mapping[str, object]) -> list[str]:
    """Spell values for Helm: nested as maps, or with `__` between the levels of a name."""
    return [
        argument
        for name, value in values.items()
        for argument in ("--set-json", f"{name.replace('__', '.')}={json.dumps(value)}")
    ]


def render_chart(
    values: Mapping[str, object] = NO_VALUES,
    *,
    namespace: str = NAMESPACE,
    files: Sequence[Path] = (),
    offers: Sequence[str] = (),
) -> list[Manifest]:
    """
    Give the manifests of the chart, as `helm template` prints them.

    Args:
        values: Single values, which win over those of files.
        namespace: Where the release goes.
        files: Values files.
        offers: API versions that the cluster has beside Kubernetes' own.

    Raises:
        ChartError: Helm refused the values.
    """
    command = [str(binary("helm")), "template", RELEASE, str(CHART), "--namespace", namespace]
    done = subprocess.run(  # noqa: S603 (fixed program, and values of a test)
        [*command, *_file_arguments(files, offers), *value_arguments(values)],
        capture_output=True,
        text=True,
        timeout=HELM_SECONDS,
        check=False,
        env=os.environ | {"HELM_NO_PLUGINS": "1"},  # noqa: TID251 (a child needs PATH and HOME)
    )
    if done.returncode != 0:
        raise ChartError(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def _file_arguments(files: Sequence[Path], offers: Sequence[str]) -> list[str]:
    named = [argument for path in files for argument in ("--values", str(path))]
    return named + [argument for offer in offers for argument in ("--api-versions", offer)]


def install_chart(
    plane: ControlPlane,
    values: Mapping[str, object] = NO_VALUES,
    *,
    namespace: str = NAMESPACE,
) -> Path:
    """
    Apply the definition, the ServiceAccount and its roles; start no operator.

    Returns:
        A kubeconfig that acts as the operator's ServiceAccount.
    """
    wanted = [
        each
        for each in render_chart(values, namespace=namespace)
        if each["kind"].removesuffix("Binding") in NOT_WORKLOAD
    ]
    exists = plane.kubectl("get", "namespace", namespace, check=False).returncode == 0
    if not exists:
        plane.create_namespace(namespace)
    plane.apply(wanted)
    (account,) = (each for each in wanted if each["kind"] == "ServiceAccount")
    return plane.kubeconfig_for(namespace, account["metadata"]["name"])
