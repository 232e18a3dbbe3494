"""`python -m tests.cluster`: up in one process, down in another, nothing left."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import ControlPlane
from tests.cluster.__main__ import build_parser
from tests.cluster.contexts import target
from tests.cluster.go_modules import TOOLS
from tests.cluster.surroundings import clusters_directory

ROOT = Path(__file__).parents[2]


def cluster(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - this interpreter, our module
        [sys.executable, "-m", "tests.cluster", *arguments],
        cwd=ROOT,
        env=inherited() | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def inherited() -> dict[str, str]:
    names = ("PATH", "HOME", "ATELIER_CACHE", "XDG_CACHE_HOME", "KUBEBUILDER_ASSETS")
    return {name: value for name in names if (value := pytest_variable(name))}


def pytest_variable(name: str) -> str | None:
    return os.environ.get(name)  # noqa: TID251 - what the command under test is to inherit


@pytest.fixture
def name() -> str:
    return f"test-command-line-{os.getpid()}"


@pytest.mark.apiserver
@pytest.mark.usefixtures("control_plane")
def test_up_status_down(name: str) -> None:
    up = cluster("up", "--name", name)
    try:
        assert up.returncode == 0, up.stderr
        kubeconfig = Path(up.stdout.strip())
        assert kubeconfig.exists()
        assert cluster("kubeconfig", "--name", name).stdout == up.stdout
        status = cluster("status").stdout
        assert f"{name}: control-plane\n" in status
        assert target(kubeconfig).server in status
        assert "kube-apiserver pid" in status
        again = cluster("up", "--name", name)
        assert again.returncode == 1
        assert f"down --name {name}" in again.stderr
    finally:
        down = cluster("down", "--name", name)
    assert down.returncode == 0, down.stderr
    assert not (clusters_directory() / name).exists()
    assert cluster("down", "--name", name).returncode == 0, "ending nothing is no error"


@pytest.mark.apiserver
def test_a_named_context_is_copied_alone_and_never_ended(
    name: str, control_plane: ControlPlane
) -> None:
    context = f"atelier-{control_plane.name}"
    theirs = str(control_plane.kubeconfig)
    up = cluster("up", "--name", name, "--context", context, KUBECONFIG=theirs)
    try:
        assert up.returncode == 0, up.stderr
        assert target(Path(up.stdout.strip())).server == control_plane.server
    finally:
        cluster("down", "--name", name)
    assert control_plane.read("get", "namespace", "default")["status"]["phase"] == "Active"


@pytest.mark.apiserver
def test_a_context_that_does_not_exist_is_told(name: str, control_plane: ControlPlane) -> None:
    theirs = str(control_plane.kubeconfig)
    up = cluster("up", "--name", name, ATELIER_CONTEXT="nowhere", KUBECONFIG=theirs)
    assert up.returncode == 1
    assert "'nowhere'" in up.stderr
    assert not (clusters_directory() / name).exists()


@pytest.mark.parametrize("command", ["", "prepare", "up", "down", "status", "kubeconfig", "trim"])
def test_every_command_explains_itself(command: str) -> None:
    done = cluster(*command.split(), "--help")
    assert done.returncode == 0
    assert "usage: python -m tests.cluster" in done.stdout


def test_every_command_and_option_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text()
    (commands,) = (
        action.choices
        for action in build_parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    options = {
        option
        for command in commands.values()
        for action in command._actions
        for option in action.option_strings
        if option not in ("-h", "--help")
    }
    assert "--size" in options
    assert {each for each in commands if f"tests.cluster {each}" not in text} == set()
    assert {option for option in options if option not in text} == set()


def test_the_documentation_names_the_pinned_versions() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text()
    absent = {
        tool.name: tool.version()
        for tool in TOOLS.values()
        if tool.version().removeprefix("v") not in text
    }
    assert absent == {}


def test_an_unknown_program_is_refused() -> None:
    done = cluster("prepare", "kubectx")
    assert done.returncode == 1
    assert done.stderr.startswith("error: unknown programs ['kubectx']; there are ")
