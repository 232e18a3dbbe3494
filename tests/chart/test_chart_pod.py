"""Render the operator's pod with the real Helm: what it runs, what it may, where it goes."""

import re
from typing import Any

import pytest
from workspace_operator.cluster.connection import TOKEN_FILE
from workspace_operator.settings import Settings

from tests.installation import RELEASE_VALUES, render_chart

Manifest = dict[str, Any]
DIGEST = "sha256:" + "a" * 64

pytestmark = pytest.mark.usefixtures("helm")


def one(manifests: list[Manifest], kind: str) -> Manifest:
    (found,) = (each for each in manifests if each["kind"] == kind)
    return found


def pod(**values: object) -> Manifest:
    template: Manifest = one(render_chart(values), "Deployment")["spec"]["template"]
    return template


def container(**values: object) -> Manifest:
    found: Manifest = pod(**values)["spec"]["containers"][0]
    return found


def test_a_digest_wins_over_a_tag() -> None:
    assert container(image__tag="1.2")["image"] == "atelier/operator:1.2"
    assert (
        container(image__tag="1.2", image__digest=DIGEST)["image"] == f"atelier/operator@{DIGEST}"
    )


def test_release_values_name_every_image_by_its_digest() -> None:
    (deployment,) = (
        each for each in render_chart(files=[RELEASE_VALUES]) if each["kind"] == "Deployment"
    )
    spec = deployment["spec"]["template"]["spec"]
    images = [each["image"] for each in spec["containers"] + spec.get("initContainers", [])]
    given = {each["name"]: each.get("value", "") for each in spec["containers"][0]["env"]}
    settings = Settings.from_environment(given)
    images += [settings.image_for(preset) for preset in settings.preset_digests]
    images += [settings.tuning_image_for(preset) for preset in settings.preset_digests]

    assert len(images) > 1
    assert [each for each in images if not re.search("@sha256:[0-9a-f]{64}$", each)] == []


def test_pods_keep_to_different_nodes_unless_told_otherwise() -> None:
    assert "affinity" not in pod()["spec"]
    terms = pod(replicaCount=2)["spec"]["affinity"]["podAntiAffinity"]
    (term,) = terms["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"
    own: Manifest = {"nodeAffinity": {}}
    assert pod(replicaCount=2, affinity=own)["spec"]["affinity"] == own


def test_the_token_lives_an_hour_and_is_where_clients_look_for_it() -> None:
    spec = pod()["spec"]
    (mount,) = (each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "token")
    (volume,) = (each for each in spec["volumes"] if each["name"] == "token")
    sources = volume["projected"]["sources"]

    assert spec["automountServiceAccountToken"] is False
    assert mount["mountPath"] == str(TOKEN_FILE.parent)
    assert [kind for source in sources for kind in source] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    assert sources[0]["serviceAccountToken"] == {"path": "token", "expirationSeconds": 3600}


def test_presets_are_mounted_and_roll_the_pods() -> None:
    before, after = pod(), pod(presets={"mine.yaml": "name: mine\n"})
    made = render_chart({"presets": {"mine.yaml": "name: mine\n"}})
    config = next(each for each in made if each["metadata"]["name"] == "atelier-presets")

    assert config["data"] == {"mine.yaml": "name: mine\n"}
    assert {"name": "presets", "configMap": {"name": "atelier-presets"}} in after["spec"]["volumes"]
    annotation = "checksum/presets"
    assert (
        before["metadata"]["annotations"][annotation]
        != after["metadata"]["annotations"][annotation]
    )


PASSED_THROUGH = {
    "nodeSelector": {"kubernetes.io/os": "linux", "pool": "system"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone"}],
    "priorityClassName": "system-cluster-critical",
    "imagePullSecrets": [{"name": "pull"}],
}


@pytest.mark.parametrize(("name", "value"), PASSED_THROUGH.items(), ids=PASSED_THROUGH.keys())
def test_a_value_of_the_pod_is_passed_through(name: str, value: object) -> None:
    assert pod(**{name: value})["spec"][name] == value
