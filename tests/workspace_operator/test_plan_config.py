"""What a ConfigMap may tune, and the sentence for everything that it may not."""

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from workspace_operator.plan import InferenceConfig, PlanError, plan, read_config
from workspace_operator.plan.config import KEY, OWN_KEYS, RANGES

from tests.builders import A100, MISTRAL_7B, SETTINGS, workspace

NAME = "tuned"
PLACE = "ConfigMap tuned, key inference_config.yaml"
WINDOWED = replace(MISTRAL_7B, context_length=32768)
NO_WINDOW = replace(MISTRAL_7B, name="no-window", sliding_window=None, context_length=32768)


def read(text: str) -> InferenceConfig:
    return read_config(NAME, "team", {"data": {KEY: text}}, WINDOWED)


def refusal(text: str) -> PlanError:
    with pytest.raises(PlanError) as refused:
        read(text)
    return refused.value


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# nothing", {}),
        ("server:", {}),
        ("server: {max-model-len: 4096}", {"max-model-len": 4096}),
        ("vllm: {max-model-len: 4096}", {"max-model-len": 4096}),
        ("vllm: {max_model_len: 4096}", {"max-model-len": 4096}),
        ("vllm: {max-num-seqs: 8}", {"max-sequences": 8}),
        ("{vllm: {max-model-len: 4096}, server: {max-model-len: 512}}", {"max-model-len": 512}),
        ("server: {drain-seconds: 0, max-queued: 1}", {"drain-seconds": 0, "max-queued": 1}),
        ("server: {max-model-len: 32768}", {"max-model-len": 32768}),
    ],
)
def test_what_is_taken(text: str, values: dict[str, int]) -> None:
    found = read(text)
    assert found.values == values
    assert found.notes == ()


@pytest.mark.parametrize(
    ("text", "switches"),
    [
        ("server: {merge-adapters: true}", {"merge-adapters"}),
        ("server: {merge-adapters: false, max-queued: 1}", set()),
    ],
)
def test_what_is_switched_on(text: str, switches: set[str]) -> None:
    found = read(text)
    assert found.switches == switches
    assert "merge-adapters" not in found.values


def test_what_tunes_vllm_alone_is_said_to_have_no_effect() -> None:
    found = read("max_probe_steps: 6\nvllm: {gpu-memory-utilization: 0.8, swap-space: 4}")
    assert found.values == {}
    assert found.notes == (
        f"{PLACE}: max_probe_steps has no effect here",
        f"{PLACE}: vllm.gpu-memory-utilization, vllm.swap-space tune vLLM and have no effect here",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("server: {max-sequence: 4}", "server.max-sequence: unknown key; did you mean max-seq"),
        ("server: {colour: 4}", "server.colour: unknown key; use one of max-model-len, max-seq"),
        ("server: {merge-adapter: true}", "server.merge-adapter: unknown key; did you mean merge-"),
        ("server: {merge-adapters: 1}", "server.merge-adapters: 1: write true or false without"),
        ("server: {merge-adapters: 'yes'}", "'yes': write true or false without quotes"),
        ("merge-adapters: true", "merge-adapters: unknown at this level; write it below server:"),
        ("vllm: {max-modellen: 4}", "vllm.max-modellen: unknown key; did you mean max-model-len?"),
        ("sever: {}", "sever: unknown key; did you mean server?"),
        ("max_model_len: 4096", "max_model_len: unknown at this level; write it below server:"),
        (
            "server: {max-model-len: '4096'}",
            "'4096': must be an integer; write 16 to 32768 without",
        ),
        ("server: {max-model-len: 99999}", "max-model-len 99999 exceeds model's maximum supported"),
        (
            "server: {max-model-len: 3}",
            "server.max-model-len: 3 is out of range; write 16 to 32768",
        ),
        ("server: {max-model-len: true}", "server.max-model-len: True: must be an integer"),
        ("server: {max-sequences: 0}", "server.max-sequences: 0 is out of range; write 1 to 1024"),
        ("server: {drain-seconds: 2.5}", "server.drain-seconds: 2.5: must be a whole number"),
        ("server: {max-queued: [1]}", "server.max-queued: a list: must be a whole number"),
        ("server: 7", "server is 7; write keys and values, such as {server: {max-model-len"),
        ("- server", "the text is a list; write keys and values"),
        ("server: {", "not YAML at line 1, column 10"),
        ("server: !!python/name:os.system", "not YAML at line 1, column 9: could not determine"),
        ("a: 2001-99-99", "not YAML: month must be in 1..12"),
        ("server: {max-queued: " + "9" * 5000 + "}", "not YAML: Exceeds the limit"),
        ("server: {max-queued: 0x" + "f" * 5000 + "}", "a huge number is out of range"),
        ("[" * 3000, "not YAML"),
        ("a" * 70_000, "70000 characters are too many; write at most 65536"),
    ],
)
def test_what_is_refused_is_named_with_its_place_and_a_remedy(text: str, says: str) -> None:
    refused = refusal(text)
    assert refused.reason == "ConfigInvalid"
    assert refused.message.startswith("ConfigMap tuned, key inference_config.yaml: ")
    assert says in refused.message
    assert len(refused.message) < 400


def test_a_text_that_grows_when_it_is_written_out_is_not_written_out() -> None:
    layers = ["a: &a0 [x, x]"]
    layers += [f"b{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    assert len(refusal("\n".join([*layers, "server: *a59"])).message) < 400


@pytest.mark.parametrize(
    ("config_map", "reason", "says"),
    [
        (None, "ConfigMapNotFound", "ConfigMap 'tuned' specified in 'config' not found in name"),
        ({}, "ConfigMapKeyMissing", "(it has no key)"),
        ({"data": {"config.yaml": ""}}, "ConfigMapKeyMissing", "(it has config.yaml); rename"),
        ({"binaryData": {KEY: "eA=="}}, "ConfigMapKeyMissing", f"no text under the key {KEY}"),
    ],
)
def test_a_config_map_that_is_not_what_it_should_be(
    config_map: dict[str, Any] | None, reason: str, says: str
) -> None:
    with pytest.raises(PlanError) as refused:
        read_config(NAME, "team", config_map, MISTRAL_7B)
    assert refused.value.reason == reason
    assert says in refused.value.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*OWN_KEYS, "server", "vllm", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def answered(text: str) -> bool:
    """Say whether a text is taken with sound values, or refused in a sentence."""
    try:
        found = read(text)
    except PlanError as refused:
        return refused.reason == "ConfigInvalid" and refused.message.startswith(PLACE)
    return all(value in RANGES[key] for key, value in found.values.items())


@given(json_values)
def test_whatever_is_written_there_is_taken_or_refused_in_a_sentence(content: object) -> None:
    assert answered(yaml.safe_dump(content))


@given(st.text())
def test_any_text_is_taken_or_refused_in_a_sentence(text: str) -> None:
    assert answered(text)


def tuned(**values: int) -> InferenceConfig:
    named = {key.replace("_", "-"): value for key, value in values.items()}
    return InferenceConfig(name=NAME, values=named, origins={key: f"server.{key}" for key in named})


def test_what_is_tuned_becomes_flags_and_the_drain() -> None:
    config = tuned(max_model_len=2048, max_sequences=4, max_queued=9, drain_seconds=77)
    made = plan(workspace(), MISTRAL_7B, SETTINGS, config)
    assert made.server_arguments == (
        "--preset=mistral-7b-instruct",
        "--port=5000",
        "--drain-seconds=77",
        "--max-model-len=2048",
        "--max-sequences=4",
        "--max-queued=9",
    )
    assert made.drain_seconds == 77
    assert made.fit.required_tokens == 2048


@pytest.mark.parametrize(
    ("context", "type_", "fits"),
    [
        (32768, A100, True),
        (32768, "Standard_NV36ads_A10_v5", True),
        (16, "Standard_NC4as_T4_v3", False),  # no BF16
    ],
)
def test_a_context_that_is_insisted_on_takes_part_in_the_memory_fit(
    context: int, type_: str, *, fits: bool
) -> None:
    made = workspace(instance_type=type_)
    config = tuned(max_model_len=context)
    if fits:
        found = plan(made, NO_WINDOW, SETTINGS, config)
        assert f"--max-model-len={context}" in found.server_arguments
        return
    with pytest.raises(PlanError) as refused:
        plan(made, NO_WINDOW, SETTINGS, config)
    assert refused.value.reason == "ConfigDoesNotFit"


def test_a_context_that_does_not_fit_is_answered_by_the_one_that_would() -> None:
    long = replace(NO_WINDOW, context_length=131_072)
    made = workspace(instance_type="Standard_NV36ads_A10_v5")
    with pytest.raises(PlanError) as refused:
        plan(made, long, SETTINGS, tuned(max_model_len=131_072))
    message = refused.value.message
    assert message.startswith(
        "ConfigMap tuned, key inference_config.yaml, server.max-model-len: 131072 does not fit"
    )
    assert "use resource.instanceType Standard_NC24ads_A100_v4" in message
    less = int(message.rpartition("or write at most ")[2])
    plan(made, long, SETTINGS, tuned(max_model_len=less))
    with pytest.raises(PlanError):
        plan(made, long, SETTINGS, tuned(max_model_len=less + 1))
    bypassed = made.model_copy(update={"annotations": {"kaito.sh/bypass-resource-checks": ""}})
    plan(bypassed, long, SETTINGS, tuned(max_model_len=131_072))


def test_where_the_machine_is_left_open_one_is_taken_that_holds_the_context() -> None:
    long = replace(NO_WINDOW, context_length=131_072)
    plain = plan(workspace(instance_type=None), long, SETTINGS)
    tuned_ = plan(workspace(instance_type=None), long, SETTINGS, tuned(max_model_len=131_072))
    assert "A10" in plain.candidates[0]
    assert "A100" in tuned_.candidates[0]
