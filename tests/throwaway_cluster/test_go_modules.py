"""Programs are built once, whole or not at all, and the pins decide which."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import go_modules
from tests.cluster.binaries import NAMES, UnknownProgramError, binary, ensure, present
from tests.cluster.go_modules import TOOLS, BuildError, build, pinned_version

# Stands in for Go's compiler: writes where `-o` points, and a line to a log of its own calls.
FAKE_GO = """#!/bin/sh
echo "$PWD $* $GOMODCACHE" >> "$GO_CALLS"
test -z "$GO_FAILS" || { echo "cannot compile"; exit 2; }
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\necho built\\n' > "$2" && chmod +x "$2"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for Go first on PATH, with an empty cache; return the log of its calls."""
    log = tmp_path / "calls"
    log.touch()
    go = tmp_path / "path" / "go"
    go.parent.mkdir()
    go.write_text(FAKE_GO)
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    monkeypatch.setenv("GO_CALLS", str(log))
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    for name in ("ATELIER_BINARIES", "KUBEBUILDER_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    return log


def test_a_second_call_builds_nothing(calls: Path) -> None:
    first = binary("helm")
    assert binary("helm") == first
    assert subprocess.run([first], check=True, capture_output=True).stdout == b"built\n"  # noqa: S603 - just built
    assert len(calls.read_text().splitlines()) == 1


def test_go_gets_the_version_and_caches_below_ours(calls: Path, tmp_path: Path) -> None:
    binary("kubectl")
    call = calls.read_text()
    version = pinned_version("kubernetes", "k8s.io/kubernetes")
    assert f"gitVersion={version}" in call
    assert "-s -w" in call
    assert call.startswith(str(go_modules.MODULES / "kubernetes"))
    assert str(tmp_path / "cache" / "go" / "mod") in call


def test_progress_counts_only_what_is_missing(
    calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    binary("helm")
    capsys.readouterr()
    ensure(["helm", "kubectl", "kube-apiserver"])
    told = capsys.readouterr().err
    assert "build 1/2: kubectl" in told
    assert "build 2/2: kube-apiserver" in told
    assert "helm" not in told
    assert len(calls.read_text().splitlines()) == 3


def test_progress_tells_how_far_go_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("go: downloading example v1.0.0\nfmt\nnet/http\n")
    assert go_modules._progress(log) == "1 modules fetched, 2 packages compiled"


def test_a_failed_build_leaves_nothing_and_says_what_go_said(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GO_FAILS", "1")
    with pytest.raises(BuildError, match=r"(?s)helm v4.*exited 2.*cannot compile"):
        binary("helm")
    assert present("helm") is None
    monkeypatch.delenv("GO_FAILS")
    assert binary("helm").exists()
    assert len(calls.read_text().splitlines()) == 2


@pytest.mark.usefixtures("calls")
def test_without_go_the_message_names_every_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(go_modules, "GO_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match=r"`go` is missing.*KUBEBUILDER_ASSETS"):
        binary("helm")


def test_a_folder_that_the_user_names_comes_first(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "assets"
    ready.mkdir()
    (ready / "etcd").write_text("")
    (ready / "etcd").chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(ready))
    assert binary("etcd") == ready / "etcd"
    assert binary("helm").parent != ready, "what the folder lacks is built"
    assert len(calls.read_text().splitlines()) == 1


@pytest.mark.usefixtures("calls")
def test_a_changed_pin_is_another_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = TOOLS["helm"].path()
    copied = tmp_path / "go"
    shutil.copytree(go_modules.MODULES, copied)
    monkeypatch.setattr(go_modules, "MODULES", copied)
    assert TOOLS["helm"].path() == before
    with (copied / "helm" / "go.sum").open("a") as sums:
        sums.write("\n")
    assert TOOLS["helm"].path() != before


def test_two_programs_that_build_at_once_build_once(calls: Path) -> None:
    code = "from tests.cluster import binary; binary('helm')"
    root = Path(__file__).parents[2]
    both = [
        subprocess.Popen([sys.executable, "-c", code], cwd=root, stderr=subprocess.DEVNULL)  # noqa: S603 - this interpreter, our code
        for _ in range(2)
    ]
    assert [each.wait(timeout=50) for each in both] == [0, 0]
    assert len(calls.read_text().splitlines()) == 1


def test_an_unknown_program_is_refused_with_the_list() -> None:
    with pytest.raises(
        UnknownProgramError, match=r"unknown programs \['kubectx'\]; there are .*kubectl"
    ):
        ensure(["kubectx"])


def test_every_pin_is_a_release() -> None:
    for tool in TOOLS.values():
        assert tool.version().startswith("v")
    with pytest.raises(BuildError, match=r"does not require example\.org/nothing"):
        pinned_version("helm", "example.org/nothing")


def test_every_program_can_be_asked_for() -> None:
    assert set(NAMES) >= {"etcd", "kube-apiserver", "kubectl", "kubelet", "helm", "karpenter-kwok"}


def test_nothing_missing_needs_no_go(calls: Path) -> None:
    build([])
    assert calls.read_text() == ""
