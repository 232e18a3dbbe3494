"""A pod template of the user's own: everything of it stays, and what ties it to its nodes comes."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.objects.custom_pod import custom_pod
from workspace_operator.objects.placement import TOLERATIONS
from workspace_operator.objects.service import service
from workspace_operator.plan import Plan, PlanError, plan_template
from workspace_operator.settings import Settings

from tests.builders import A100, AWS, BYO, SETTINGS, Manifest, workspace

GPU = "nvidia.com/gpu"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def template(**container: object) -> Manifest:
    return {
        "spec": {"containers": [{"name": "own", "image": "registry.example/own:1"} | container]}
    }


def made(
    asked: Manifest,
    settings: Settings = SETTINGS,
    **facts: Any,  # noqa: ANN401 - as `workspace`
) -> tuple[Manifest, Plan]:
    owner = workspace(inference={"template": asked}, **facts)
    plan = plan_template(owner, settings)
    return custom_pod(owner, plan), plan


def test_what_is_added_to_a_plain_template() -> None:
    asked = template()
    before = deepcopy(asked)
    pod, plan = made(asked)
    assert asked == before
    assert pod["metadata"]["labels"] == {"kaito.sh/workspace": "mistral"}
    assert list(pod["metadata"]["annotations"]) == ["atelier.kaito.sh/config-hash"]
    assert pod["spec"]["tolerations"] == TOLERATIONS
    (term,) = pod["spec"]["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert [each["key"] for each in term["matchExpressions"]] == [
        "apps",
        "kaito.sh/workspace",
        "kaito.sh/workspacenamespace",
    ]
    (container,) = pod["spec"]["containers"]
    assert container["resources"] == {"requests": {GPU: "1"}, "limits": {GPU: "1"}}
    assert (plan.gpus_per_node, plan.image, plan.preset) == (1, "registry.example/own:1", None)


def test_what_the_user_wrote_stays() -> None:
    zone = {"key": "zone", "operator": "In", "values": ["a"]}
    fast = {"key": "fast", "operator": "Exists"}
    own_toleration = {"key": "team", "operator": "Exists"}
    preferred = [{"weight": 1, "preference": {"matchExpressions": [fast]}}]
    spread: Manifest = {"podAntiAffinity": {}}
    pod, _ = made(
        {
            "metadata": {"labels": {"app": "own"}, "annotations": {"a": "b"}},
            "spec": {
                "tolerations": [own_toleration, TOLERATIONS[1]],
                "affinity": spread
                | {
                    "nodeAffinity": {
                        "preferredDuringSchedulingIgnoredDuringExecution": preferred,
                        REQUIRED: {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [zone]},
                                {"matchFields": [], "matchExpressions": [fast]},
                            ]
                        },
                    }
                },
                "containers": [{"name": "own", "image": "i", "resources": {"limits": {"cpu": 2}}}],
            },
        }
    )
    assert pod["metadata"]["labels"] == {"app": "own", "kaito.sh/workspace": "mistral"}
    assert pod["metadata"]["annotations"]["a"] == "b"
    assert pod["spec"]["tolerations"] == [own_toleration, TOLERATIONS[1], *TOLERATIONS[::2]]
    affinity = pod["spec"]["affinity"]
    assert affinity["podAntiAffinity"] == {}
    node = affinity["nodeAffinity"]
    assert node["preferredDuringSchedulingIgnoredDuringExecution"] == preferred
    terms = node[REQUIRED]["nodeSelectorTerms"]
    assert [each["matchExpressions"][0] for each in terms] == [zone, fast]
    assert all(len(each["matchExpressions"]) == 4 for each in terms), "each alternative is ours"
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"cpu": 2, GPU: "1"}


@pytest.mark.parametrize(
    ("resources", "facts", "settings", "expected"),
    [
        ({}, {"instance_type": "Standard_NC96ads_A100_v4"}, SETTINGS, (GPU, 4, {GPU: "4"})),
        ({}, {"instance_type": "of-tomorrow"}, SETTINGS, (GPU, 1, {GPU: "1"})),
        ({}, {"instance_type": None}, BYO, (GPU, 1, {GPU: "1"})),
        ({"limits": {GPU: 2}}, {"instance_type": A100}, SETTINGS, (GPU, 2, {GPU: 2})),
        ({"limits": {GPU: "0"}}, {"instance_type": A100}, SETTINGS, (GPU, 0, {GPU: "0"})),
        (
            {"limits": {"nvidia.com/mig-1g.10gb": 1}},
            {"instance_type": None},
            BYO,
            ("nvidia.com/mig-1g.10gb", 1, {"nvidia.com/mig-1g.10gb": 1}),
        ),
    ],
)
def test_gpus_are_given_where_no_container_speaks_of_them(
    resources: Manifest,
    facts: dict[str, Any],
    settings: Settings,
    expected: tuple[str, int, Manifest],
) -> None:
    pod, plan = made(template(resources=resources), settings, **facts)
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert (plan.gpu_resource, plan.gpus_per_node, limits) == expected


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        (None, (5000,)),
        ([], (5000,)),
        ([{"containerPort": 8000}], (8000,)),
        ([{"containerPort": 9}, {"name": "http", "containerPort": 8000}], (8000, 9)),
        ([{"containerPort": 9}, {"name": "metrics", "containerPort": 8000}], (9, 8000)),
        ([{"containerPort": "8000"}, 7, {"containerPort": True}], (5000,)),
    ],
)
def test_the_service_leads_to_the_port_named_http_else_the_first_else_5000(
    ports: object, expected: tuple[int, ...]
) -> None:
    owner = workspace(inference={"template": template(ports=ports)})
    plan = plan_template(owner, SETTINGS)
    assert plan.ports == expected
    (port,) = service(owner, plan)["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (80, expected[0])


def test_a_template_says_nothing_about_what_to_buy() -> None:
    owner = workspace(instance_type=None, inference={"template": template()})
    with pytest.raises(PlanError) as refused:
        plan_template(owner, SETTINGS)
    assert refused.value.reason == "InstanceTypeNeeded"
    assert plan_template(owner, BYO).candidates == ()


def test_disk_config_and_runtime_of_a_template() -> None:
    owner = workspace(
        inference={"template": template(), "config": "x"},
        annotations={"kaito.sh/runtime": "vllm"},
    )
    plan = plan_template(owner, SETTINGS)
    assert plan.disk_gib == 1024
    assert plan_template(owner, AWS).disk_gib == 100
    assert plan.notes == ("inference.config has no effect on inference.template",)


def test_an_edit_of_a_template_is_another_revision_and_null_is_no_edit() -> None:
    first, _ = made(template())
    same, _ = made(template(resources=None) | {"metadata": {"creationTimestamp": None}})
    other, _ = made(template(image="registry.example/own:2"))
    marks = [each["metadata"]["annotations"] for each in (first, same, other)]
    assert marks[0] == marks[1]
    assert marks[0] != marks[2]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("metadata", "spec", "containers", "labels", "annotations", "affinity"),
                    *("nodeAffinity", REQUIRED, "nodeSelectorTerms", "matchExpressions"),
                    *("tolerations", "resources", "limits", "ports", "containerPort", GPU),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["metadata", "spec", "x"]), json_values))
def test_whatever_a_template_is_the_api_server_gets_to_judge_it(asked: Manifest) -> None:
    before = deepcopy(asked)
    pod, plan = made(asked)
    assert plan.ports
    assert isinstance(pod, dict)
    assert asked == before
