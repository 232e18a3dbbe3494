"""
The built images, run as a restricted pod runs them: another user, a read-only root.

What a kubelet makes of the images is tried on the real node.
"""

import json
import os
from collections.abc import Iterator

import pytest
from model_presets.catalog import load_catalog
from model_presets.lock import read_lock, verify
from model_presets.tiny import read_lessons

from requirements.bytecode import FLAGS, TIMED
from tests.images import build_images
from tests.images.contents import installed_packages, layers_of, listed_packages
from tests.images.serving import answer_to, serving
from tests.images.unpacked import Unpacked, unpacked

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root (chroot and mounts)"),
]


@pytest.fixture(scope="module")
def operator() -> Iterator[Unpacked]:
    with unpacked(build_images(["operator"])["operator"].archive) as image:
        yield image


@pytest.fixture(scope="module")
def tiny() -> Iterator[Unpacked]:
    with unpacked(build_images(["tiny-mistral"])["tiny-mistral"].archive) as image:
        yield image


@pytest.fixture(scope="module")
def trainer() -> Iterator[Unpacked]:
    built = build_images(["tiny-mistral-tuning"])["tiny-mistral-tuning"]
    with unpacked(built.archive) as image:
        yield image


def test_the_operators_image_holds_the_operator_and_no_torch(operator: Unpacked) -> None:
    assert operator.config["config"]["User"] == "10001:10001"
    words = ["python", "-c", "import workspace_operator.settings, os; print(os.getuid())"]
    assert operator.run(*words).stdout == "10001\n"
    assert "No module named 'torch'" in operator.run("python", "-c", "import torch").stderr
    assert "Read-only" in operator.run("python", "-c", "open('/app/x', 'w')").stderr


def test_the_weights_are_those_of_the_lock(tiny: Unpacked) -> None:
    folder = tiny.root / "models" / "weights"
    preset = load_catalog().get("tiny-mistral")
    verify(folder, read_lock(folder), preset)
    inside = tiny.run("python", "-m", "model_presets", "verify", "tiny-mistral", "/models/weights")
    assert inside.returncode == 0
    assert read_lock(folder).digest in inside.stdout


def test_nothing_of_the_building_machine_is_in_an_image(
    tiny: Unpacked, operator: Unpacked, trainer: Unpacked
) -> None:
    for image in (tiny, operator, trainer):
        assert not [
            word for word in image.config["config"]["Env"] if "CERT" in word or "PIP" in word
        ]
        for folder in ("mnt", "srv", "tmp"):
            assert list((image.root / folder).iterdir()) == []


def test_the_server_starts_on_a_read_only_root_and_answers(tiny: Unpacked) -> None:
    lesson = next(lesson for lesson in read_lessons() if lesson.question == "What is Kubernetes?")
    with serving(tiny) as url:
        assert answer_to(lesson, url) == lesson.answer


@pytest.mark.parametrize("name", ["operator", "tiny", "trainer"])
def test_the_bill_of_materials_in_an_image_is_what_is_installed(
    name: str, request: pytest.FixtureRequest
) -> None:
    image: Unpacked = request.getfixturevalue(name)
    assert installed_packages(image) == listed_packages(image)


@pytest.mark.parametrize("name", ["operator", "tiny", "trainer"])
def test_bytecode_knows_no_time(name: str, request: pytest.FixtureRequest) -> None:
    image: Unpacked = request.getfixturevalue(name)
    compiled = [
        path
        for folder in ("opt/venv", "app")
        for path in (image.root / folder).rglob("__pycache__/*.pyc")
    ]
    assert len(compiled) > 100
    assert [path for path in compiled if path.read_bytes()[FLAGS] == TIMED] == []


@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_the_trainer_trains_on_a_read_only_root(trainer: Unpacked, method: str) -> None:
    assert trainer.config["config"]["User"] == "10001:10001"
    assert trainer.config["config"]["Entrypoint"] == ["python", "-m", "model_tuning"]
    place = trainer.root / "lessons"
    place.mkdir(exist_ok=True)
    row = {"messages": [{"role": role, "content": "A word."} for role in ("user", "assistant")]}
    (place / "lesson.jsonl").write_text("\n".join([json.dumps(row)] * 2))
    words = f"python -m model_tuning train --method={method} --data=/lessons --output=/tmp/out"
    done = trainer.run("sh", "-c", f"{words} --host=127.0.0.1 --port=0 && ls /tmp/out")
    assert done.returncode == 0, done.stderr
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(done.stdout.split())


def test_the_trainer_and_the_server_have_runtime_and_weights_in_common() -> None:
    images = build_images(["tiny-mistral", "tiny-mistral-tuning"])
    layers = [layers_of(image.archive) for image in images.values()]
    shared = [one for one, other in zip(*layers, strict=False) if one == other]
    assert sum(size for _, size in shared) > 0.95 * sum(size for _, size in layers[0])
