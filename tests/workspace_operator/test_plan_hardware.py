"""Which machines come into question: one, a list in the user's order, or what holds the model."""

from dataclasses import replace

import pytest
from workspace_operator.objects.node_claim import node_claim
from workspace_operator.objects.slots import Slot
from workspace_operator.plan import PlanError
from workspace_operator.settings import Cloud, Settings

from tests.builders import A100, AWS, BYO, MISTRAL_7B, SETTINGS, Manifest, planned, workspace

A10 = "Standard_NV36ads_A10_v5"
T4 = "Standard_NC4as_T4_v3"
FOUR_A100 = "Standard_NC96ads_A100_v4"
KEY = "atelier.dev/instance-types"
AKS = replace(SETTINGS, node_class_group="karpenter.azure.com", node_class_kind="AKSNodeClass")
GCP = replace(SETTINGS, cloud=Cloud.GCP)


def test_the_named_type_comes_before_the_listed_ones_and_each_once() -> None:
    plan = planned(workspace(annotations={KEY: f"{A10}, {A100},{A10}"}))
    assert plan.candidates == (A100, A10)
    assert plan.in_order


def test_a_list_needs_no_named_type_and_one_entry_needs_no_order() -> None:
    plan = planned(workspace(instance_type=None, annotations={KEY: A10}))
    assert plan.candidates == (A10,)
    assert plan.instance_type is None
    assert not plan.in_order


def test_the_pod_and_its_context_are_made_for_the_smallest_of_the_list() -> None:
    plan = planned(workspace(instance_type=None, annotations={KEY: f"{FOUR_A100},{A10}"}))
    alone = planned(workspace(instance_type=A10))
    assert plan.gpus_per_node == 1
    assert plan.fit.kv_tokens == alone.fit.kv_tokens
    assert plan.drain_seconds == alone.drain_seconds


def test_a_listed_machine_that_cannot_hold_the_model_is_left_out_and_named() -> None:
    plan = planned(workspace(annotations={KEY: f"{T4},{A10}"}))
    assert plan.candidates == (A100, A10)
    assert any(T4 in note for note in plan.notes)


def test_a_machine_that_nobody_knows_is_tried() -> None:
    plan = planned(workspace(instance_type=None, annotations={KEY: f"Of_Tomorrow,{FOUR_A100}"}))
    assert plan.candidates == ("Of_Tomorrow", FOUR_A100)
    assert plan.gpus_per_node == MISTRAL_7B.gpu_count


def test_a_list_in_which_nothing_fits_is_refused_by_its_own_name() -> None:
    with pytest.raises(PlanError) as refused:
        planned(workspace(instance_type=None, annotations={KEY: f"{T4},Standard_NC6s_v3"}))
    assert refused.value.reason == "MemoryDoesNotFit"
    assert KEY in refused.value.message


@pytest.mark.parametrize(
    "value", ["", "A,,B", "A B", "A;B", "x" * 64, ",".join(f"t{n}" for n in range(17))]
)
def test_what_is_no_list_of_names_is_refused(value: str) -> None:
    with pytest.raises(PlanError) as refused:
        planned(workspace(annotations={KEY: value}))
    assert refused.value.reason == "InvalidAnnotation"
    assert KEY in refused.value.message


def test_brought_nodes_are_not_bought_from_a_list() -> None:
    plan = planned(workspace(instance_type=None, annotations={KEY: A10}), BYO)
    assert plan.candidates == ()
    assert any(KEY in note for note in plan.notes)


def requirements(settings: Settings, *, instance_type: str | None = None) -> dict[str, Manifest]:
    made = workspace(instance_type=instance_type)
    plan = planned(made, settings)
    slot = Slot(ordinal=0, attempt=0, instance_types=plan.candidates)
    found = node_claim(made, plan, settings, slot)["spec"]["requirements"]
    return {each["key"]: each for each in found}


def test_what_karpenter_may_choose_is_described_in_the_labels_of_its_cloud() -> None:
    aws = requirements(AWS)
    assert aws["karpenter.k8s.aws/instance-gpu-count"]["values"] == ["1"]
    memory = aws["karpenter.k8s.aws/instance-gpu-memory"]
    assert (memory["operator"], memory["values"]) == ("Gt", ["15348"])
    assert requirements(AKS)["karpenter.azure.com/sku-gpu-count"]["values"] == ["1"]
    assert requirements(GCP)["karpenter.k8s.gcp/instance-gpu-count"]["values"] == ["1"]
    assert not any("gpu" in key for key in requirements(SETTINGS)), "KAITO's class knows none"


def test_a_named_machine_keeps_the_shape_of_kaitos_claim() -> None:
    aws = requirements(AWS, instance_type="g5.xlarge")
    assert aws["karpenter.k8s.aws/instance-gpu-count"] == {
        "key": "karpenter.k8s.aws/instance-gpu-count",
        "operator": "Gt",
        "values": ["0"],
    }
    assert "karpenter.k8s.aws/instance-gpu-memory" not in aws


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Standard_NC24ad_A100_v4", "did you mean Standard_NC24ads_A100_v4"),
        ("standard_nc24ads_a100_v4", "did you mean Standard_NC24ads_A100_v4"),
        ("Of_Tomorrow", ""),
        (A100, ""),
    ],
)
def test_a_type_that_is_nearly_a_known_one_is_tried_and_questioned(name: str, said: str) -> None:
    plan = planned(workspace(instance_type=name))
    assert plan.candidates == (name,)
    assert [note for note in plan.notes if "did you mean" in note] == [
        note for note in plan.notes if said and said in note
    ]
    assert any(said in note for note in plan.notes) == bool(said)


@pytest.mark.parametrize(
    ("settings", "questioned"),
    [
        (SETTINGS, False),
        (AWS, True),
        (GCP, True),
        (replace(SETTINGS, cloud=Cloud.KWOK), False),  # plays every cloud
        (replace(AWS, node_class_group="example.com"), False),  # whose machines nobody knows
        (BYO, False),
    ],
)
def test_a_machine_of_another_cloud_is_questioned(settings: Settings, *, questioned: bool) -> None:
    plan = planned(workspace(), settings)
    sentence = f"{A100} is a machine of azure, and this operator asks {settings.cloud} for machines"
    assert [note for note in plan.doubts if sentence in note] == list(plan.doubts)
    assert bool(plan.doubts) == questioned
    assert set(plan.doubts) <= set(plan.notes)
