"""What pods of others hold of a node."""

from typing import Any

from workspace_operator.objects.placement import usable_nodes
from workspace_operator.snapshot import Snapshot
from workspace_operator.snapshot.others import taken_by

from tests.builders import BYO, node, planned, workspace

GPU = "nvidia.com/gpu"
LABELS = {"apps": "mistral"}


def other(name: str, gpus: str = "1", phase: str = "Running", where: str = "node-1") -> Any:  # noqa: ANN401
    return {
        "metadata": {"namespace": "lab", "name": name},
        "spec": {
            "nodeName": where,
            "containers": [
                {"resources": {"limits": {GPU: gpus, "cpu": "2"}, "requests": {GPU: gpus}}},
                {"name": "beside"},
            ],
        },
        "status": {"phase": phase},
    }


def test_requests_add_up_by_node_and_ended_pods_hold_nothing() -> None:
    taken = taken_by(
        [other("a", "2"), other("b"), other("c", phase="Failed"), other("d", where="")]
    )
    assert taken.keys() == {"node-1"}
    assert taken["node-1"].of(GPU) == 3
    assert taken["node-1"].holders[GPU] == ["lab/a", "lab/b"]
    assert taken["node-1"].of("cpu") == 0, "what every pod has is not counted"


def test_a_node_whose_gpus_are_in_use_is_not_usable_and_one_with_a_free_gpu_is() -> None:
    made = workspace(instance_type=None)
    plan = planned(made, BYO)
    nodes = [node("node-1", gpus=1, labels=LABELS), node("node-2", gpus=2, labels=LABELS)]
    snapshot = Snapshot.parse(nodes=nodes, others=[other("a"), other("b", where="node-2")])
    assert [each.name for each in usable_nodes(made, plan, snapshot)] == ["node-2"]
