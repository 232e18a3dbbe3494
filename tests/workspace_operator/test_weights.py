"""Where the weights come from: what may be written, and what it puts into the pod."""

from dataclasses import replace
from typing import Any

import pytest
from model_presets.preset import Preset
from workspace_operator.api import InvalidSpec, Workspace, parse
from workspace_operator.api.weights import IN_THE_IMAGE, WeightsKind, WeightsSource, weights_source
from workspace_operator.objects.deployment import pod_template
from workspace_operator.objects.pod_frame import SCRATCH_MOUNTS
from workspace_operator.objects.rollout import revision_of
from workspace_operator.objects.weights import hub_ports
from workspace_operator.plan import PlanError, plan_template, refuse_what_is_not_offered

from tests.builders import MISTRAL_7B, SETTINGS, TINY, Manifest, body, planned, workspace
from tests.builders.tunings import tuning

KEY = "atelier.dev/weights"
CLAIM = "pvc:models/mistral/v0.1"


def of(weights: str, **facts: Any) -> Workspace:  # noqa: ANN401 - as `workspace`
    return workspace(annotations={KEY: weights}, **facts)


def template(weights: str) -> Manifest:
    made = of(weights)
    return pod_template(made, planned(made), SETTINGS)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("image", IN_THE_IMAGE),
        ("fetch", WeightsSource(kind=WeightsKind.FETCH)),
        (
            "oci:r.example:5000/w@sha256:" + "0" * 64,
            WeightsSource(
                kind=WeightsKind.VOLUME_IMAGE, reference="r.example:5000/w@sha256:" + "0" * 64
            ),
        ),
        ("pvc:models", WeightsSource(kind=WeightsKind.CLAIM, claim="models")),
        (CLAIM, WeightsSource(kind=WeightsKind.CLAIM, claim="models", folder="mistral/v0.1")),
    ],
)
def test_what_is_written_is_what_is_meant(text: str, meant: WeightsSource) -> None:
    assert weights_source(of(text).annotations) == meant
    assert meant.text == text


def test_without_the_annotation_they_are_in_the_image() -> None:
    assert planned().weights == IN_THE_IMAGE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pvc",
        "pvc:",
        "pvc:Models",
        "pvc:models/",
        "pvc:models/../secrets",
        "pvc:models//x",
        "pvc:/models",
        "Image",
        "hub",
        "fetch:now",
        "oci:",
        "oci:https://r.example/w",
        "oci:r.example/w 1",
        "image\npvc:x",
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_may_be_written(text: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse(body(annotations={KEY: text}))
    assert refused.value.path == f"metadata.annotations[{KEY}]"
    assert "pvc:CLAIM" in refused.value.why


def test_a_claim_is_mounted_over_the_images_own_weights_for_reading_only() -> None:
    spec = template(CLAIM)["spec"]
    (volume,) = (each for each in spec["volumes"] if each["name"] == "weights")
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    (mount,) = (each for each in _mounts(spec) if each["name"] == "weights")
    assert mount == {
        "name": "weights",
        "mountPath": "/models/weights",
        "readOnly": True,
        "subPath": "mistral/v0.1",
    }
    assert "initContainers" not in spec


def test_weights_from_elsewhere_must_have_a_lock() -> None:
    assert "--require-lock" in template("pvc:models")["spec"]["containers"][0]["args"]


def test_weights_in_the_image_leave_the_pod_as_it_was() -> None:
    spec = template("image")["spec"]
    assert spec == pod_template(workspace(), planned(), SETTINGS)["spec"]
    assert _mounts(spec) == SCRATCH_MOUNTS
    assert "--require-lock" not in spec["containers"][0]["args"]


def test_another_place_is_another_revision() -> None:
    found = {revision_of(template(each)) for each in ("image", "pvc:models", CLAIM)}
    assert len(found) == 3


def test_what_brings_its_own_weights_is_refused_before_a_node_is_bought() -> None:
    tuned = tuning().model_copy(update={"annotations": {KEY: "pvc:models"}})
    with pytest.raises(PlanError, match="remove it") as refused:
        refuse_what_is_not_offered(tuned)
    assert refused.value.reason == "WeightsNotOffered"
    own = {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}
    with pytest.raises(PlanError, match="a template brings its own"):
        plan_template(of("pvc:models", inference=own), SETTINGS)


def _mounts(spec: Manifest) -> list[Manifest]:
    mounts: list[Manifest] = spec["containers"][0]["volumeMounts"]
    return mounts


def test_fetched_weights_come_by_an_init_container_into_a_volume_with_a_limit() -> None:
    spec = template("fetch")["spec"]
    (volume,) = (each for each in spec["volumes"] if each["name"] == "weights")
    assert volume["emptyDir"] == {"sizeLimit": "28Gi"}
    (fetcher,) = spec["initContainers"]
    assert fetcher["command"][:4] == ["python", "-m", "model_presets", "fetch-weights"]
    assert fetcher["command"][4:] == ["mistral-7b-instruct", "/models/weights", "--port", "5000"]
    assert {"name": "weights", "mountPath": "/models/weights"} in fetcher["volumeMounts"]
    assert {"name": "HF_HUB_OFFLINE", "value": "0"} in fetcher["env"]
    assert fetcher["securityContext"]["readOnlyRootFilesystem"]
    (mount,) = (each for each in _mounts(spec) if each["name"] == "weights")
    assert mount["readOnly"]


def test_an_image_of_weights_is_a_volume_that_the_node_pulls() -> None:
    spec = template("oci:r.example/w:1")["spec"]
    (volume,) = (each for each in spec["volumes"] if each["name"] == "weights")
    assert volume["image"] == {"reference": "r.example/w:1", "pullPolicy": "IfNotPresent"}
    (mount,) = (each for each in _mounts(spec) if each["name"] == "weights")
    assert mount == {"name": "weights", "mountPath": "/models/weights", "readOnly": True}
    assert planned(of("oci:r.example/w:1")).disk_gib == 65


def test_the_disk_of_fetched_weights_is_asked_of_the_node_and_of_the_scheduler() -> None:
    asked = {each: planned(of(each)).disk_gib for each in ("image", "pvc:models", "fetch")}
    assert asked == {"image": 50, "pvc:models": 50, "fetch": 78}
    resources = template("fetch")["spec"]["containers"][0]["resources"]
    assert resources["requests"]["ephemeral-storage"] == "29Gi"
    assert resources["limits"]["ephemeral-storage"] == "37Gi"


def test_a_gated_model_is_fetched_with_the_users_secret_and_the_administrators_mirror() -> None:
    options = {"name": "mistral-7b-instruct", "presetOptions": {"modelAccessSecret": "hub"}}
    made = of("fetch", inference={"preset": options})
    settings = replace(SETTINGS, hub_endpoint="https://hub.apps:8443")
    (fetcher,) = pod_template(made, planned(made, settings), settings)["spec"]["initContainers"]
    variables = {each["name"]: each for each in fetcher["env"]}
    assert variables["HF_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "hub", "key": "HF_TOKEN"}
    assert variables["HF_ENDPOINT"]["value"] == "https://hub.apps:8443"


@pytest.mark.parametrize(
    ("endpoint", "preset", "ports"),
    [
        (None, MISTRAL_7B, (443,)),
        ("https://hub.apps", MISTRAL_7B, (443,)),
        ("http://hub.apps", MISTRAL_7B, (80, 443)),
        ("http://[fd00::1]:8081/hf", MISTRAL_7B, (443, 8081)),
        (None, TINY, ()),  # made on the spot
    ],
)
def test_the_way_out_is_the_hubs_port_and_no_more(
    endpoint: str | None, preset: Preset, ports: tuple[int, ...]
) -> None:
    settings = replace(SETTINGS, hub_endpoint=endpoint)
    assert hub_ports(planned(of("fetch"), settings, preset), settings) == ports
    assert hub_ports(planned(of("pvc:models"), settings, preset), settings) == ()
