"""
What is taken from the cache gives the same tokens as what is computed, in float32: at every length
around blocks and window, for whoever shares, resumes or goes on.
"""

import pytest
from model_server.compute.model import LoadedModel

from tests.model_server.tiny_models import Driver, generate, mistral, native, prompts, request

WINDOW = 24
BLOCK = 8
COUNT = 2 * WINDOW
(BASE,) = prompts(100)
# Common beginnings, around one block, the window and twice the window.
SHARED = (
    1,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    WINDOW - 1,
    WINDOW,
    WINDOW + 1,
    2 * WINDOW,
    2 * WINDOW + 1,
)


@pytest.fixture(scope="module", params=[None, WINDOW], ids=["full", "window"])
def model(request: pytest.FixtureRequest) -> LoadedModel:
    return mistral(sliding_window=request.param)


def variants() -> dict[str, tuple[int, ...]]:
    """Prompts that begin like BASE for so long and then go their own way."""
    ends = prompts(*(3 + i for i in range(len(SHARED))))
    return {f"{n}": (*BASE[:n], *end) for n, end in zip(SHARED, ends, strict=True)}


@pytest.fixture(scope="module")
def expected(model: LoadedModel) -> dict[str, list[int]]:
    return {name: generate(model, prompt, COUNT) for name, prompt in variants().items()}


@pytest.mark.parametrize("max_batch_tokens", [17, 40, 500])
def test_hits_of_every_length(
    model: LoadedModel, expected: dict[str, list[int]], max_batch_tokens: int
) -> None:
    driver = Driver(native(model, block_size=BLOCK), max_batch_tokens=max_batch_tokens)
    driver.run([request("first", BASE, COUNT)])
    answers = driver.run([request(n, p, COUNT) for n, p in variants().items()])
    assert {name: answers[name] for name in expected} == expected
    cached = {name: driver.outputs[name][0].cached_tokens for name in expected}
    assert cached == {name: int(name) // BLOCK * BLOCK for name in expected}


def test_sharing_with_who_still_runs(model: LoadedModel, expected: dict[str, list[int]]) -> None:
    driver = Driver(native(model, block_size=BLOCK), max_batch_tokens=40)
    driver.scheduler.add(request("first", BASE, COUNT))
    for name, prompt in variants().items():
        for _ in range(3):
            driver.step()
        driver.scheduler.add(request(name, prompt, COUNT))
    answers = driver.run()
    assert {name: answers[name] for name in expected} == expected
    assert driver.scheduler.prefix_tokens_found > 0


def test_a_whole_second_turn(model: LoadedModel) -> None:
    """Prompt and answer of the first turn are found, then the conversation goes on."""
    driver = Driver(native(model, block_size=BLOCK))
    answer = driver.run([request("first", BASE[:30], COUNT)])["first"]
    prompt = (*BASE[:30], *answer, 5, 6, 7)
    again = driver.run([request("second", prompt, COUNT)])["second"]
    assert again == generate(model, prompt, COUNT)
    assert driver.outputs["second"][0].cached_tokens >= 30 + COUNT - BLOCK


def test_the_same_prompt_many_times_at_once(model: LoadedModel) -> None:
    driver = Driver(native(model, block_size=BLOCK), max_batch_tokens=64)
    answers = driver.run([request(str(i), BASE[:50], COUNT) for i in range(6)])
    assert {tuple(answer) for answer in answers.values()} == {
        tuple(generate(model, BASE[:50], COUNT))
    }
    assert driver.scheduler.prefix_tokens_found == 5 * 48


def test_preempted_sequences_resume_on_what_is_left(
    model: LoadedModel, expected: dict[str, list[int]]
) -> None:
    driver = Driver(native(model, block_size=4, block_count=40), max_batch_tokens=30)
    answers = driver.run([request(n, p, COUNT) for n, p in variants().items()])
    assert answers == expected
    assert driver.scheduler.preemptions > 0
