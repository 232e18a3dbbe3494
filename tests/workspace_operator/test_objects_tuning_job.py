"""The Job of a tuning: what is in it, and when it is made, left alone and deleted."""

import hashlib
import json
from typing import Any

import pytest
from workspace_operator.api import Workspace
from workspace_operator.changes import changes
from workspace_operator.objects import desired_objects
from workspace_operator.objects.network_policy import network_policy
from workspace_operator.objects.tuning_job import tuning_job
from workspace_operator.snapshot import Snapshot

from tests.builders import MISTRAL_7B, SETTINGS, Manifest, at, claim, node
from tests.builders.tunings import DATA, job, tuning, tuning_plan

NOW = at(300)
RELEASE = {"atelier.dev/release-nodes-when-done": "true"}


def made_job(**facts: Any) -> Manifest:  # noqa: ANN401 - as `tuning`
    made = tuning(**facts)
    assert made.tuning
    return tuning_job(made, made.tuning, tuning_plan(made), MISTRAL_7B, SETTINGS)


def pod(manifest: Manifest) -> Manifest:
    found: Manifest = manifest["spec"]["template"]["spec"]
    return found


def todo(
    made: Workspace, live: Manifest | None, *, nodes: bool = True
) -> tuple[list[str], list[str]]:
    """Return what is to be applied and deleted, by kind."""
    snapshot = Snapshot.parse(node_claims=[claim()], nodes=[node()] if nodes else [], job=live)
    plan = tuning_plan(made)
    wanted = desired_objects(made, plan, snapshot, SETTINGS, NOW)
    found = changes(made, plan, wanted, snapshot, NOW)
    return [each["kind"] for each in found.apply], [each.kind for each in found.delete]


def test_the_job_is_made_when_its_node_is_there() -> None:
    assert todo(tuning(), None, nodes=False) == ([], [])
    assert todo(tuning(), None) == (["NetworkPolicy", "Job"], [])


def test_a_job_that_does_what_is_asked_is_left_alone_whatever_is_in_it() -> None:
    live = job(tuning())
    live["spec"] = {"template": {"spec": {"containers": []}}}
    assert todo(tuning(), live) == (["NetworkPolicy"], [])


UPLOADING: dict[str, Any] = {
    "annotations": {"atelier.dev/output-repository": "team/style@runs"},
    "preset": {"name": "mistral-7b-instruct", "presetOptions": {"modelAccessSecret": "hub"}},
}


def test_the_hub_s_token_is_a_file_of_the_secret_and_the_way_out_is_open() -> None:
    spec = pod(made_job(**UPLOADING))
    (container,) = spec["containers"]
    assert "--upload=team/style@runs" in container["args"]
    assert "--upload-token=/mnt/hub-token/token" in container["args"]
    assert {"name": "HF_HUB_OFFLINE", "value": "0"} in container["env"]
    (volume,) = (each for each in spec["volumes"] if each["name"] == "hub-token")
    assert volume["secret"]["secretName"] == "hub"
    assert volume["secret"]["items"] == [{"key": "HF_TOKEN", "path": "token"}]
    mount = {"name": "hub-token", "mountPath": "/mnt/hub-token", "readOnly": True}
    assert mount in container["volumeMounts"]

    made = tuning(**UPLOADING, input={"volumeSource": {"emptyDir": {}}})
    policy = network_policy(made, tuning_plan(made), SETTINGS)
    assert {"port": 443, "protocol": "TCP"} in policy["spec"]["egress"][1]["ports"]


def test_a_repository_is_a_wish_of_its_own_and_without_one_jobs_stay_as_they_are() -> None:
    def digest(made: Workspace) -> str:
        plan = tuning_plan(made)
        assert plan.training is not None
        return plan.training.digest

    preset = UPLOADING["preset"]
    plain = tuning(preset=preset)
    asked = (
        json.dumps(plain.tuning.model_dump(by_alias=True, exclude_none=True), separators=(",", ":"))
        if plain.tuning
        else ""
    )
    assert digest(plain) == hashlib.sha256(f"{asked}\n".encode()).hexdigest()
    other = tuning(preset=preset, annotations={"atelier.dev/output-repository": "team/style"})
    assert len({digest(plain), digest(other), digest(tuning(**UPLOADING))}) == 3
    assert not any(
        "hub" in flag or "upload" in flag for flag in pod(made_job())["containers"][0]["args"]
    )


@pytest.mark.parametrize("ended", ["Complete", "Failed", ""])
def test_another_wish_is_another_job(ended: str) -> None:
    live = job(tuning(), *([ended] if ended else []))
    other = tuning(input={"urls": ["https://example.com/more"]})
    assert todo(other, live) == (["NetworkPolicy"], ["Job"])
    going = {**live, "metadata": {**live["metadata"], "deletionTimestamp": "2026-03-01T10:00:00Z"}}
    assert todo(other, going) == (["NetworkPolicy"], [])


def test_a_job_of_somebody_else_is_neither_changed_nor_deleted() -> None:
    theirs = {
        "metadata": {"name": "mistral", "ownerReferences": [{"uid": "x", "controller": True}]}
    }
    snapshot = Snapshot.parse(node_claims=[claim()], nodes=[node()], job=theirs)
    made = tuning()
    plan = tuning_plan(made)
    wanted = desired_objects(made, plan, snapshot, SETTINGS, NOW)
    found = changes(made, plan, wanted, snapshot, NOW)
    assert [each.kind for each in found.conflicts] == ["Job"]
    assert "Job" not in {each["kind"] for each in found.apply}
    assert found.delete == ()


@pytest.mark.parametrize("ended", ["Complete", "Failed"])
def test_nodes_are_given_back_where_that_is_wanted(ended: str) -> None:
    made = tuning(annotations=RELEASE)
    assert todo(made, job(made))[1] == []
    assert todo(made, job(made, ended))[1] == ["NodeClaim"]
    kept = tuning()
    assert todo(kept, job(kept, ended))[1] == []


def test_given_back_is_not_bought_again_until_something_else_is_asked_for() -> None:
    made = tuning(annotations=RELEASE)
    other = tuning(annotations=RELEASE, input={"urls": ["https://example.com/more"]})
    snapshot = Snapshot.parse(job=job(made, "Complete"))
    kinds = {}
    for each in (made, other):
        wanted = desired_objects(each, tuning_plan(each), snapshot, SETTINGS, NOW)
        kinds[each is made] = [one["kind"] for one in wanted]
    assert "NodeClaim" not in kinds[True]
    assert "NodeClaim" in kinds[False]


def test_exit_code_1_ends_the_job_and_what_the_node_did_does_not_count() -> None:
    spec = made_job()["spec"]
    first, second = spec["podFailurePolicy"]["rules"]
    assert (first["action"], first["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert second == {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
    assert pod(made_job())["restartPolicy"] == "Never", "or the API server refuses the rules"


def test_addresses_are_fetched_before_the_training() -> None:
    (fetcher,) = pod(made_job())["initContainers"]
    assert fetcher["command"] == [
        *("python", "-m", "model_tuning", "fetch", "--url", DATA, "--output", "/mnt/data")
    ]


def test_an_image_is_unpacked_with_its_secrets() -> None:
    source = {"image": "r.example/data:1", "imagePullSecrets": ["one", "two"]}
    made = pod(made_job(input=source))
    (fetcher,) = made["initContainers"]
    assert fetcher["command"][2:] == [
        *("model_presets", "pull-image", "r.example/data:1", "/mnt/data"),
        *("--auth", "/mnt/secrets/data"),
    ]
    (secrets,) = (each for each in made["volumes"] if each["name"] == "data-secrets")
    named = [each["secret"]["name"] for each in secrets["projected"]["sources"]]
    assert named == ["one", "two"]
    assert "data-secrets" not in str(made["containers"]), "the training needs no pull secret"


def test_a_volume_is_mounted_and_nothing_is_fetched() -> None:
    made = pod(made_job(input={"volumeSource": {"nfs": {"server": "s", "path": "/p"}}}))
    assert "initContainers" not in made
    assert {"nfs": {"server": "s", "path": "/p"}, "name": "data"} in made["volumes"]
    mounts = {each["name"]: each for each in made["containers"][0]["volumeMounts"]}
    assert mounts["data"] == {"name": "data", "mountPath": "/mnt/data", "readOnly": True}
    assert mounts["results"] == {"name": "results", "mountPath": "/mnt/results"}


def test_an_image_as_output_gets_a_place_with_a_limit_and_the_secret() -> None:
    made = pod(made_job(output={"image": "r.example/a:1", "imagePushSecret": "push"}))
    volumes = {each["name"]: each for each in made["volumes"]}
    assert volumes["results"]["emptyDir"]["sizeLimit"]
    assert volumes["push-secret"]["secret"]["secretName"] == "push"


def test_the_pod_tolerates_gpu_nodes_and_asks_for_one() -> None:
    made = pod(made_job())
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in made[
        "tolerations"
    ]
    assert made["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert made["affinity"]
