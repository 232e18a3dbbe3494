"""
Weights from a volume, from an image volume and from a model hub, on real kubelets.

After the whole line, in the same cluster. The server's image has no weights at all; each answer is
held against that of the image which has its own.
"""

import re
import time
from collections.abc import Iterator

import pytest

from tests.demo import elsewhere
from tests.demo.asking import chat, forwarded
from tests.demo.elsewhere import (
    CLAIM,
    FETCHED,
    FROM_HUB,
    FROM_IMAGE,
    FROM_VOLUME,
    MODEL_FILE,
    PART_BYTES,
    REFUSED,
    WORKSPACES,
    Elsewhere,
    pod_of,
)
from tests.demo.line import QUESTION, Outcome
from tests.demo.narration import Narration
from tests.demo.watching import condition
from tests.model_hub import serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2400)]

GONE_SECONDS = 120


@pytest.fixture(scope="module")
def found(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    places = elsewhere.prepare(tmp_path_factory.mktemp("weights"))
    with serving(places.hub, address=str(outcome.cluster.block.host)):
        yield elsewhere.run(outcome.cluster, places, Narration(total=elsewhere.STEPS))


@pytest.mark.parametrize("name", [FROM_VOLUME, FROM_IMAGE, FROM_HUB])
def test_the_answer_is_that_of_the_image_with_its_own_weights(
    outcome: Outcome, found: Elsewhere, name: str
) -> None:
    with forwarded(found.cluster.plane, name) as url:
        answer = chat(url, WORKSPACES[name], QUESTION, max_tokens=48)
    assert answer.text == outcome.answer.text
    assert answer.body["usage"] == outcome.answer.body["usage"]


@pytest.mark.parametrize("name", [FROM_VOLUME, FROM_IMAGE])
def test_the_weights_that_are_attested_are_those_of_that_image(
    outcome: Outcome, found: Elsewhere, name: str
) -> None:
    assert found.statuses[name]["model"] == outcome.status["model"]


def test_what_was_fetched_is_the_pinned_revision(found: Elsewhere) -> None:
    model = found.statuses[FROM_HUB]["model"]
    assert (model["name"], model["revision"]) == (FETCHED.name, FETCHED.revision)
    assert model["digest"].startswith("sha256:")


def test_the_status_counts_what_has_arrived(found: Elsewhere) -> None:
    assert found.counted["phase"] == "FetchingWeights"
    download = dict(found.counted["download"])
    assert download.pop("bytesPerSecond") > 0
    assert download.pop("secondsLeft") > 0
    places = found.places
    assert download == {"bytes": places.held_bytes, "totalBytes": places.total_bytes}
    assert re.search(r"^\d+ % of .*, .* left$", found.counted["progress"])
    assert "download" not in found.statuses[FROM_HUB]


def test_a_fetch_that_was_killed_asks_for_the_rest_only(found: Elsewhere) -> None:
    hub = found.places.hub
    (fetcher,) = pod_of(found.cluster.plane, FROM_HUB)["status"]["initContainerStatuses"]
    assert fetcher["restartCount"] == 1
    assert hub.ranges == [f"bytes={PART_BYTES}-"]
    resolved = {path: count for path, count in hub.asked.items() if "/resolve/" in path}
    assert {path.rsplit("/", 1)[-1]: count for path, count in resolved.items()} == {
        name: 2 if name == MODEL_FILE else 1 for name in hub.files
    }


def test_the_ledger_has_the_fetch_as_a_phase_of_its_own(found: Elsewhere) -> None:
    ledger = dict(found.statuses[FROM_HUB]["startup"])
    total = ledger.pop("total")
    assert ledger["weightsFetched"] > 0
    assert sum(ledger.values()) == pytest.approx(total, abs=0.5)


def test_a_wrong_byte_is_named_with_its_file_and_nothing_serves(found: Elsewhere) -> None:
    status = found.statuses[REFUSED]
    refused = condition(status, "InferenceReady")
    assert (refused["status"], refused["reason"]) == ("False", "WeightsRefused")
    assert f"/models/weights/{found.places.wrong_file}: SHA-256" in refused["message"]
    assert condition(status, "WorkspaceSucceeded")["status"] != "True"
    plane = found.cluster.plane
    selector = f"kubernetes.io/service-name={REFUSED}"
    slices = plane.read("get", "endpointslices", "-l", selector)["items"]
    endpoints = [each for one in slices for each in one.get("endpoints") or ()]
    assert not any(each["conditions"]["ready"] for each in endpoints)


def test_deleting_them_leaves_nothing_but_the_claim(found: Elsewhere) -> None:
    plane = found.cluster.plane
    plane.kubectl("delete", "workspace", *WORKSPACES, f"--timeout={GONE_SECONDS}s")
    selector = f"kaito.sh/workspace in ({', '.join(WORKSPACES)})"
    kinds = "nodeclaims,deployments,services,networkpolicies,pods,nodes"
    deadline = time.monotonic() + GONE_SECONDS
    while left := plane.read("get", kinds, "-l", selector)["items"]:
        assert time.monotonic() < deadline, [each["metadata"]["name"] for each in left]
        names = [f"{each['kind'].lower()}/{each['metadata']['name']}" for each in left]
        plane.kubectl("wait", "--for=delete", *names, "--timeout=10s", check=False)
    assert plane.read("get", "pvc", CLAIM)["status"]["phase"] == "Bound"
