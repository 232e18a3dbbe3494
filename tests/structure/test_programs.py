"""A program of the tests or the chart that is asked for its help tells it, and writes nothing."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = (
    "tests.builders.golden",
    "tests.cluster",
    "tests.demo",
    "tests.fault_table",
    "tests.images",
    "tests.installation.freezing",
    "tests.model_server.fault_table",
    "tests.scan",
    "tests.stages",
    "tests.workspaces.page",
)
SCRIPTS = ("dashboard.py", "metrics_page.py", "reference.py", "sizes_page.py")


def run(program: str) -> None:
    """Run a program in this process, as `python FILE` or `python -m MODULE` would."""
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__")


@pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")
@pytest.mark.parametrize("program", [*MODULES, *(str(ROOT / "charts" / each) for each in SCRIPTS)])
def test_help_is_told_and_nothing_is_written(
    program: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [program, "--help"])
    with pytest.raises(SystemExit) as ended:
        run(program)
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")
    assert list(tmp_path.iterdir()) == []
