"""
Kind is called as its command line is documented.

The programs are stand-ins: this checks our half of the conversation, not kind.
"""

from pathlib import Path

import pytest

from tests.cluster import folders, kind
from tests.cluster.kind import KindError

FAKE_KIND = """#!/bin/sh
echo "$*" >> "$KIND_CALLS"
test -z "$KIND_FAILS" || { echo "no nodes" >&2; exit 1; }
while [ $# -gt 0 ]; do case $1 in --kubeconfig) touch "$2";; esac; shift; done
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "path"
    folder.mkdir()
    for name, text in (("kind", FAKE_KIND), ("docker", "#!/bin/sh\nexit ${DOCKER_EXITS:-0}\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("KIND_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "calls"


def test_a_cluster_gets_a_kubeconfig_of_its_own_and_is_deleted_by_name(calls: Path) -> None:
    kubeconfig = kind.up("demo")
    assert kubeconfig.stat().st_mode & 0o777 == 0o600
    kind.load_image("demo", Path("/image.tar"))
    kind.down("demo")
    where = f"--name atelier-demo --kubeconfig {kubeconfig}"
    assert calls.read_text().splitlines() == [
        f"create cluster {where} --wait 180s",
        "load image-archive /image.tar --name atelier-demo",
        f"delete cluster {where}",
    ]
    assert folders.clusters() == []


@pytest.mark.usefixtures("calls")
def test_a_failure_says_what_kind_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND_FAILS", "1")
    with pytest.raises(KindError, match="exited 1: no nodes"):
        kind.up("demo")


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize(("status", "works"), [("0", True), ("1", False)])
def test_it_works_only_where_the_engine_answers(
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    works: bool,  # noqa: FBT001 - a column of the table
) -> None:
    monkeypatch.setenv("DOCKER_EXITS", status)
    assert kind.works() is works


@pytest.mark.usefixtures("calls")
def test_it_does_not_work_without_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert kind.works() is False
    with pytest.raises(KindError, match="kind is missing"):
        kind.load_image("demo", Path("/image.tar"))
