"""
Render the chart with the real Helm: every value does what it says, and nothing more is granted.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from workspace_operator.settings import Settings, documented

from tests.installation import CHART, ChartError, render_chart

Manifest = dict[str, Any]

pytestmark = pytest.mark.usefixtures("helm")


def one(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = (each for each in manifests if each["kind"] == kind)
    return found


def kinds(**values: object) -> set[str]:
    return {each["kind"] for each in render_chart(values)}


def pod(**values: object) -> Manifest:
    template: Manifest = one(render_chart(values), "Deployment")["spec"]["template"]
    return template


def container(**values: object) -> Manifest:
    found: Manifest = pod(**values)["spec"]["containers"][0]
    return found


def environment(**values: object) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container(**values)["env"]}


def test_lint_finds_nothing(helm: Path) -> None:
    done = subprocess.run(  # noqa: S603 (Helm, and a path of ours)
        [helm, "lint", "--strict", CHART], capture_output=True, text=True, timeout=50, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_shows_the_values_as_they_are(tmp_path: Path) -> None:
    copy = tmp_path / "atelier"
    copy.mkdir()
    for name in ("README.md", "values.yaml"):
        shutil.copy(CHART / name, copy)

    subprocess.run(  # noqa: S603 (our own script)
        [sys.executable, CHART.parent / "reference.py", copy], check=True, timeout=50
    )

    assert (copy / "README.md").read_text() == (CHART / "README.md").read_text(), "make generate"


def test_chart_and_images_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == Settings().version
    assert container()["image"] == f"atelier/operator:{chart['appVersion']}"


def test_the_operator_understands_its_environment() -> None:
    given = environment(
        nodeClass={"group": "g", "kind": "k", "name": "n"},
        presets={"a.yaml": "name: a"},
        presetDigests={"a": DIGEST},
        tuningDigests={"a": DIGEST},
        plainHttpRegistries=["r.apps:5000"],
        hubEndpoint="https://hub.apps",
        planFigures={"currency": "USD", "pricesPerHour": {"a": 1}},
    )
    known = {each.metadata["variable"] for each in documented()}

    assert given.keys() == known - {"KUBECONFIG"}
    files = {"ATELIER_PRESET_DIRECTORY", "ATELIER_PLAN_FIGURES"}
    Settings.from_environment({key: value for key, value in given.items() if key not in files})


DIGEST = "sha256:" + "a" * 64
ENVIRONMENT = {
    "ATELIER_NODE_PROVISIONER": ({"nodeProvisioner": "byo"}, "byo"),
    "ATELIER_CLOUD": ({"cloud": "aws"}, "aws"),
    "ATELIER_NODE_CLASS_NAME": ({"nodeClass__name": "gpu"}, "gpu"),
    "ATELIER_PRESET_IMAGE": ({"presetImage": "r/{preset}:{version}"}, "r/{preset}:{version}"),
    "ATELIER_PRESET_DIGESTS": (
        {"presetDigests": {"b": DIGEST, "a": DIGEST}},
        f"a={DIGEST},b={DIGEST}",
    ),
    "ATELIER_TUNING_IMAGE": ({"tuningImage": "r/{preset}-t:{version}"}, "r/{preset}-t:{version}"),
    "ATELIER_TUNING_DIGESTS": ({"tuningDigests": {"a": DIGEST}}, f"a={DIGEST}"),
    "ATELIER_PLAIN_HTTP_REGISTRIES": ({"plainHttpRegistries": ["a:1", "b"]}, "a:1,b"),
    "ATELIER_HUB_ENDPOINT": ({"hubEndpoint": "http://m:8"}, "http://m:8"),
    "ATELIER_IMAGE_PULL_POLICY": ({"presetImagePullPolicy": "Never"}, "Never"),
    "ATELIER_PROBE": ({"probe": "readiness"}, "readiness"),
    "ATELIER_PROBE_INTERVAL_SECONDS": ({"probeIntervalSeconds": 5}, "5"),
    "ATELIER_RESYNC_SECONDS": ({"resyncSeconds": 120}, "120"),
    "ATELIER_METRICS_PORT": ({"metrics__port": 9090}, "9090"),
    "ATELIER_HEALTH_PORT": ({"health__port": 9091}, "9091"),
    "ATELIER_LOG_LEVEL": ({"logLevel": "debug"}, "debug"),
    "ATELIER_LEASE_NAME": ({"fullnameOverride": "other"}, "other-operator"),
}


@pytest.mark.parametrize(("name", "case"), ENVIRONMENT.items(), ids=ENVIRONMENT.keys())
def test_a_value_reaches_the_operator(name: str, case: tuple[dict[str, Any], str]) -> None:
    values, expected = case

    assert environment(**values)[name] == expected


def test_only_what_is_asked_for_is_made() -> None:
    standard = {
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "Deployment",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
        "Service",
        "ServiceAccount",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    }
    policies = {each for each in standard if each.startswith("ValidatingAdmission")}
    off = {"admission__annotations": False, "admission__nodes": False, "admission__presets": False}

    assert kinds() == standard
    assert kinds(**off) == standard - policies
    assert kinds(admission__presets=False) == standard
    assert kinds(replicaCount=2) == standard | {"PodDisruptionBudget"}
    assert kinds(replicaCount=2, podDisruptionBudget__enabled=False) == standard
    assert kinds(networkPolicy__enabled=False) == standard - {"NetworkPolicy"}
    assert kinds(crd__install=False) == standard - {"CustomResourceDefinition"}
    assert kinds(serviceAccount__create=False) == standard - {"ServiceAccount"}
    assert kinds(metrics__service__enabled=False) == standard - {"Service"}
    assert kinds(rbac__create=False) == {each for each in standard if "Role" not in each}


def test_the_definition_is_kept_on_uninstall() -> None:
    metadata = one(render_chart(), "CustomResourceDefinition")["metadata"]

    assert metadata["annotations"]["helm.sh/resource-policy"] == "keep"


def test_labels_reach_every_object_and_never_the_selector() -> None:
    manifests = render_chart(
        {"commonLabels": {"team": "ml"}, "podLabels": {"a": "b"}, "replicaCount": 2}
    )

    assert {each["metadata"]["labels"].get("team") for each in manifests} == {"ml"}
    deployment = one(manifests, "Deployment")["spec"]
    assert deployment["template"]["metadata"]["labels"]["a"] == "b"
    assert deployment["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": "atelier",
        "app.kubernetes.io/instance": "atelier",
    }


WRONG = {
    "a misspelt value": ({"nodeProvisoner": "byo"}, "nodeProvisoner"),
    "an unknown cloud": ({"cloud": "moon"}, "/cloud"),
    "an unknown provisioner": ({"nodeProvisioner": "magic"}, "/nodeProvisioner"),
    "no replicas": ({"replicaCount": 0}, "/replicaCount"),
    "text for a number": ({"resyncSeconds": "60"}, "/resyncSeconds"),
    "a low port": ({"metrics__port": 80}, "/metrics/port"),
    "a preset's short digest": ({"presetDigests": {"a": "sha256:12"}}, "/presetDigests/a"),
    "a hub without a scheme": ({"hubEndpoint": "hub.example"}, "/hubEndpoint"),
    "a registry with a scheme": ({"plainHttpRegistries": ["http://r"]}, "/plainHttpRegistries/0"),
    "no port of the API server": ({"networkPolicy__apiServerPorts": []}, "/apiServerPorts"),
    "an address for a range": ({"networkPolicy__apiServerRanges": ["10.0.0.1"]}, "/0"),
    "an unknown placeholder": ({"presetImage": "r/{model}"}, "/presetImage"),
    "half a placeholder": ({"tuningImage": "r/{preset"}, "/tuningImage"),
    "a short digest": ({"image__digest": "sha256:12"}, "/image/digest"),
    "a preset that is no YAML file": ({"presets": {"a.txt": "x"}}, "a.txt"),
    "a misspelt inner value": ({"crd__keep": True}, "keep"),
}


@pytest.mark.parametrize(("values", "named"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_value_is_refused_by_its_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ChartError, match=named):
        render_chart(values)


def test_every_value_is_in_the_schema() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def unknown(values: Manifest, schema: Manifest, path: str = "") -> list[str]:
        properties = schema.get("properties", {})
        if not properties:
            return []
        missing = [f"{path}.{key}" for key in values.keys() - properties.keys()]
        for key in values.keys() & properties.keys():
            if isinstance(values[key], dict):
                missing += unknown(values[key], properties[key], f"{path}.{key}")
        return missing

    assert unknown(values, schema) == []
    assert schema["additionalProperties"] is False


def rules(**values: object) -> list[Manifest]:
    """Give every rule of every role; that each is used, and none is missing, is another test."""
    roles = (each for each in render_chart(values) if each["kind"] in {"ClusterRole", "Role"})
    return [rule for role in roles for rule in role["rules"]]


def granted(*resources: str, **values: object) -> set[str]:
    return {
        verb
        for rule in rules(**values)
        if set(resources) & set(rule["resources"])
        for verb in rule["verbs"]
    }


ESCALATING = {"escalate", "bind", "impersonate", "approve", "sign", "deletecollection"}
UNTOUCHED = ("secrets", "serviceaccounts", "serviceaccounts/token", "pods/exec", "nodes/proxy")


def test_no_rule_is_wider_than_its_reason() -> None:
    everything = rules()

    words = {word for rule in everything for key in rule if key != "verbs" for word in rule[key]}
    assert "*" not in words | granted(*words)
    assert not any("rbac.authorization.k8s.io" in rule["apiGroups"] for rule in everything)
    assert granted(*words) & ESCALATING == set()
    assert granted(*UNTOUCHED) == set()
    assert granted("nodes", "pods") <= {"get", "list", "watch"}
    assert granted("configmaps") <= {"get"}, "by name: every other ConfigMap stays unseen"
    assert granted("workspaces") == {"get", "list", "watch", "patch"}


def test_every_rule_says_its_reason() -> None:
    for name in ("clusterrole", "role"):
        lines = (CHART / "templates" / f"{name}.yaml").read_text().splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("  - apiGroups")]
        assert starts
        bare = [lines[number] for number in starts if not lines[number - 1].startswith("  #")]
        assert len(bare) <= (name == "role"), "the two rules of the Lease share one"


def test_the_lease_is_held_by_its_name_in_its_namespace() -> None:
    assert one(render_chart(), "Role")["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["atelier-operator"],
            "verbs": ["get", "update"],
        },
    ]


def test_machines_can_be_given_back_after_a_change_to_own_nodes() -> None:
    assert "delete" in granted("nodeclaims", nodeProvisioner="byo")
