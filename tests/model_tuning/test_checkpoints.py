"""Which checkpoints of a killed training count."""

from pathlib import Path

import pytest
from model_tuning.checkpoints import MARK, latest, mark_complete


def checkpoint(folder: Path, step: int) -> Path:
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "optimizer.pt").write_bytes(b"x")
    return path


def test_the_newest_whole_one_counts_and_torn_ones_go(tmp_path: Path) -> None:
    for step in (5, 10, 9):
        checkpoint(tmp_path, step)
        mark_complete(tmp_path, step)
    torn = checkpoint(tmp_path, 11)
    (tmp_path / "checkpoint-best").mkdir()
    assert latest(tmp_path) == (tmp_path / "checkpoint-10", 10)
    assert not torn.exists()
    assert (tmp_path / "checkpoint-best").exists()
    assert (tmp_path / "checkpoint-10" / MARK).is_file()


@pytest.mark.parametrize("made", [True, False])
def test_there_may_be_none(tmp_path: Path, made: bool) -> None:  # noqa: FBT001 - a table
    folder = tmp_path / "checkpoints"
    if made:
        checkpoint(folder, 3)
    assert latest(folder) is None
