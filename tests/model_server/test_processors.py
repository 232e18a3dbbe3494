import os
from pathlib import Path

import pytest
from model_server.compute.processors import (
    SPIN_TURNS,
    SPIN_VARIABLE,
    spin_shortly,
    usable_processors,
)


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))


@pytest.mark.parametrize(
    ("limit", "processors"),
    [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1)],
)
def test_the_limit_of_a_control_group_counts(tmp_path: Path, limit: str, processors: int) -> None:
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert usable_processors(tmp_path) == processors


@pytest.mark.parametrize(("quota", "processors"), [("-1", 8), ("300000", 3), ("9900000", 8)])
def test_so_does_that_of_version_one(tmp_path: Path, quota: str, processors: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(quota + "\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_processors(tmp_path) == processors


def test_without_a_control_group_affinity_decides(tmp_path: Path) -> None:
    assert usable_processors(tmp_path) == 8


@pytest.mark.parametrize(("told", "turns"), [({}, SPIN_TURNS), ({SPIN_VARIABLE: "7"}, "7")])
def test_threads_wait_without_a_processor_unless_told_otherwise(
    told: dict[str, str], turns: str
) -> None:
    environment = {"PATH": "/bin", **told}
    spin_shortly(environment)
    assert environment == {"PATH": "/bin", SPIN_VARIABLE: turns}
