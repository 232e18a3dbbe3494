"""Adapters of a model that is served: where they come from, and what the server is told."""

from dataclasses import replace
from typing import Any

import pytest
from workspace_operator.api import Workspace
from workspace_operator.objects.deployment import pod_template
from workspace_operator.objects.network_policy import network_policy
from workspace_operator.objects.rollout import revision_of
from workspace_operator.plan import InferenceConfig, PlanError, plan

from tests.builders import MISTRAL_7B, SETTINGS, Manifest, planned, workspace

IMAGE = {
    "source": {
        "name": "style.v1",
        "image": "r.example:5443/style:1",
        "imagePullSecrets": ["registry"],
    },
    "strength": "0.5",
}
VOLUME = {
    "source": {"name": "law", "volumeSource": {"persistentVolumeClaim": {"claimName": "law"}}}
}


def served(*adapters: Manifest) -> Workspace:
    preset = {"name": "mistral-7b-instruct"}
    return workspace(inference={"preset": preset, "adapters": list(adapters)})


def template(*adapters: Manifest) -> Manifest:
    made = served(*adapters)
    return pod_template(made, planned(made), SETTINGS)


def arguments(found: Manifest) -> list[Any]:
    flags: list[Any] = found["spec"]["containers"][0]["args"]
    return [each for each in flags if each.startswith("--adapter")]


def test_the_server_is_told_names_places_and_strengths() -> None:
    assert arguments(template(IMAGE, VOLUME)) == [
        "--adapter=style.v1=/mnt/adapter/style.v1",
        "--adapter-strength=style.v1=0.5",
        "--adapter=law=/mnt/adapter/law",
    ]
    assert arguments(template()) == []


MERGING = InferenceConfig(
    name="tuned",
    switches=frozenset({"merge-adapters"}),
    origins={"merge-adapters": "server.merge-adapters"},
)


def test_adapters_are_merged_where_the_configuration_says_so() -> None:
    merged = plan(served(IMAGE, VOLUME), MISTRAL_7B, SETTINGS, MERGING)
    chosen = plan(served(IMAGE, VOLUME), MISTRAL_7B, SETTINGS)
    assert merged.server_arguments == (*chosen.server_arguments, "--merge-adapters")


def test_to_merge_nothing_is_refused_with_the_key() -> None:
    with pytest.raises(PlanError) as refused:
        plan(served(), MISTRAL_7B, SETTINGS, MERGING)
    assert refused.value.reason == "ConfigInvalid"
    assert refused.value.message == (
        "ConfigMap tuned, key inference_config.yaml, server.merge-adapters: true: there is nothing "
        "to merge; name adapters in inference.adapters, or remove the key"
    )


def test_an_image_is_unpacked_before_the_server_starts() -> None:
    spec = template(IMAGE, VOLUME)["spec"]
    (fetcher,) = spec["initContainers"]
    assert fetcher["command"] == [
        *("python", "-m", "model_presets", "pull-image", "r.example:5443/style:1"),
        *("/mnt/adapter/style.v1", "--auth", "/mnt/secrets/adapter-0"),
    ]
    assert fetcher["image"] == spec["containers"][0]["image"]
    assert fetcher["securityContext"]["readOnlyRootFilesystem"]


def test_the_server_may_read_adapters_and_no_secret() -> None:
    spec = template(IMAGE, VOLUME)["spec"]
    mounts = {each["mountPath"]: each for each in spec["containers"][0]["volumeMounts"]}
    assert mounts["/mnt/adapter/style.v1"]["readOnly"]
    assert mounts["/mnt/adapter/law"]["readOnly"]
    assert not any("secret" in path for path in mounts)
    (law,) = (each for each in spec["volumes"] if each["name"] == "adapter-1")
    assert law["persistentVolumeClaim"] == {"claimName": "law"}


def test_another_adapter_or_strength_is_another_revision() -> None:
    other = {**IMAGE, "strength": "0.6"}
    found = [revision_of(template(*each)) for each in ((), (IMAGE,), (other,), (IMAGE, VOLUME))]
    assert len(set(found)) == 4


def test_a_pod_without_adapters_is_as_it_was() -> None:
    spec = template()["spec"]
    assert "initContainers" not in spec
    assert [each["name"] for each in spec["volumes"]] == ["tmp", "home", "dshm"]


def test_the_way_to_the_registry_is_open_and_no_other() -> None:
    def ports(*adapters: Manifest) -> set[int]:
        made = served(*adapters)
        egress = network_policy(made, planned(made), SETTINGS)["spec"]["egress"]
        return {each["port"] for rule in egress for each in rule["ports"]}

    assert ports() == ports(VOLUME) == {53}
    assert ports(IMAGE) == {53, 443, 5443}


def test_a_registry_without_tls_is_asked_in_plain_words_where_the_administrator_says_so() -> None:
    plain = replace(SETTINGS, plain_http_registries=frozenset({"r.example:5443", "r.apps"}))
    within = {"source": {"name": "law", "image": "r.apps/law:1"}}
    outside = {"source": {"name": "art", "image": "r.elsewhere/art:1"}}
    made = served(IMAGE, within, outside)
    spec = pod_template(made, planned(made), plain)["spec"]
    commands = [each["command"] for each in spec["initContainers"]]
    assert ["--plain-http" in each for each in commands] == [True, True, False]
    assert "--plain-http" not in str(template(IMAGE, within))
    egress = network_policy(made, planned(made), plain)["spec"]["egress"]
    assert {each["port"] for rule in egress for each in rule["ports"]} == {53, 80, 443, 5443}
