"""
A Workspace that tunes, and one that serves what came of it, on real kubelets and a real registry.

After the whole line, in the same cluster. What the server says with the adapter is held against
peft, which answers here from the image that the Job pushed and the weights that the pod serves.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from model_presets.catalog import load_catalog
from model_presets.registry import pull_folder
from model_server.text.tokenizer import TextTokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.demo.asking import chat, forwarded
from tests.demo.teaching import ADAPTER, BASE, LESSONS, PUPIL, TEACHER, TRAINING_STEPS, Taught
from tests.demo.watching import condition

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(2400),
    # peft 0.21 asks transformers 5.23 by names that are to go in version 6.
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing.*:FutureWarning"),
]

PRESET = load_catalog().get(BASE)
AT_WORK = {"loading", "preparing", "training", "saving", "pushing"}
COUNT = 24
END = b"</s>"
GONE_SECONDS = 120
# What was taught, what the base knows by heart, and what neither has seen.
QUESTIONS = (*LESSONS, "What is Kubernetes?", "Keeper, is the sky blue at night?")


class Reference:
    """The base and the adapter, as transformers and peft compute them."""

    def __init__(self, weights: Path, adapter: Path) -> None:
        import peft  # noqa: PLC0415 - it takes seconds, and most tests need none

        self._texts: Any = AutoTokenizer.from_pretrained(weights)
        self._bytes = TextTokenizer(weights, chat_template=None).token_bytes
        base: Any = AutoModelForCausalLM.from_pretrained(weights, dtype=torch.float32)
        whole: Any = peft.PeftModel.from_pretrained(base, str(adapter))
        self._tuned = whole.eval()

    def tokens(self, question: str, *, adapted: bool) -> list[bytes]:
        """Return what each token of the answer stands for."""
        ids = self._texts.apply_chat_template(
            [{"role": "user", "content": question}],
            chat_template=PRESET.chat_template,
            return_tensors="pt",
            return_dict=True,
        )
        if adapted:
            whole = self._answer(ids)
        else:
            with self._tuned.disable_adapter():
                whole = self._answer(ids)
        said = [each for each in map(self._bytes, whole) if each != END]
        return [said[0].removeprefix(b" "), *said[1:]]  # an answer does not open with a space

    def _answer(self, ids: Any) -> list[int]:  # noqa: ANN401 - transformers' BatchEncoding
        with torch.inference_mode():
            answer = self._tuned.generate(**ids, max_new_tokens=COUNT, do_sample=False)[0]
        tokens: list[int] = answer[ids["input_ids"].shape[1] :].tolist()
        return tokens


@pytest.fixture(scope="module")
def adapter(taught: Taught, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    pull_folder(taught.adapter, folder, auth=taught.auth, plain_http=True)
    return folder


@pytest.fixture(scope="module")
def reference(taught: Taught, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    plane, folder = taught.cluster.plane, tmp_path_factory.mktemp("weights")
    selector = f"kaito.sh/workspace={PUPIL}"
    (pod,) = plane.read("get", "pods", "-l", selector)["items"]
    plane.kubectl("cp", f"{pod['metadata']['name']}:/models/weights", str(folder))
    return Reference(folder, adapter)


@pytest.fixture(scope="module")
def url(taught: Taught) -> Iterator[str]:
    with forwarded(taught.cluster.plane, PUPIL) as url:
        yield url


def test_the_tuning_has_succeeded_and_says_so(taught: Taught) -> None:
    status = taught.seen[-1]
    for kind in ("JobStarted", "WorkspaceSucceeded", "Ready"):
        held = condition(status, kind)
        assert held["status"] == "True", held
    assert status["state"] == "Succeeded"
    figures = status["tuning"]
    assert figures["phase"] == "succeeded"
    assert figures["step"] == figures["steps"] == TRAINING_STEPS
    assert figures["loss"] < figures["firstLoss"]


def test_it_told_how_far_it_was_on_the_way(taught: Taught) -> None:
    on_the_way = [
        status["tuning"]
        for status in taught.seen
        if "tuning" in status and condition(status, "WorkspaceSucceeded").get("status") != "True"
    ]
    assert AT_WORK & {each["phase"] for each in on_the_way}
    steps = [each.get("step", 0) for each in on_the_way]
    assert steps == sorted(steps)
    assert "Retrying" not in {status.get("phase") for status in taught.seen}


def test_its_machine_was_given_back(taught: Taught) -> None:
    await_end(taught, (TEACHER,), "nodeclaims", "nodes")


def test_the_adapter_in_the_registry_names_its_base(adapter: Path) -> None:
    said = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert (said["base_model_name_or_path"], said["revision"]) == (PRESET.repo, PRESET.revision)


@pytest.mark.parametrize("question", QUESTIONS)
def test_with_the_adapter_each_token_is_pefts(
    url: str, reference: Reference, question: str
) -> None:
    assert served(url, ADAPTER, question) == reference.tokens(question, adapted=True)


@pytest.mark.parametrize("question", QUESTIONS)
def test_without_it_each_token_is_the_bases(url: str, reference: Reference, question: str) -> None:
    assert served(url, BASE, question) == reference.tokens(question, adapted=False)


@pytest.mark.parametrize(("question", "answer"), LESSONS.items())
def test_what_was_taught_is_said_with_the_adapter_only(
    url: str, question: str, answer: str
) -> None:
    assert chat(url, ADAPTER, question, max_tokens=COUNT).text.strip() == answer
    assert chat(url, BASE, question, max_tokens=COUNT).text.strip() != answer


def test_deleting_both_leaves_nothing(taught: Taught) -> None:
    plane = taught.cluster.plane
    plane.kubectl("delete", "workspace", TEACHER, PUPIL, f"--timeout={GONE_SECONDS}s")
    assert plane.read("get", "nodeclaims")["items"] == []
    kinds = ("jobs", "deployments", "services", "networkpolicies", "pods", "nodes")
    await_end(taught, (TEACHER, PUPIL), *kinds)


def served(url: str, model: str, question: str) -> list[bytes]:
    answer = chat(url, model, question, max_tokens=COUNT, logprobs=True)
    tokens = answer.body["choices"][0]["logprobs"]["content"]
    said = [bytes(token["bytes"]) for token in tokens]
    return [each for each in said if each != END]


def await_end(taught: Taught, workspaces: tuple[str, ...], *kinds: str) -> None:
    """Wait until no object of these kinds belongs to one of the Workspaces."""
    plane = taught.cluster.plane
    selector = f"kaito.sh/workspace in ({', '.join(workspaces)})"

    def left() -> list[str]:
        return [
            f"{kind}/{each['metadata']['name']}"
            for kind in kinds
            for each in plane.read("get", kind, "-l", selector)["items"]
        ]

    deadline = time.monotonic() + GONE_SECONDS
    while names := left():
        assert time.monotonic() < deadline, names
        plane.kubectl("wait", "--for=delete", *names, "--timeout=10s", check=False)
