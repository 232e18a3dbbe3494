"""Missing packages are installed by root on Debian, and named exactly everywhere else."""

import os
from pathlib import Path

import pytest

from tests.cluster import packages
from tests.cluster.packages import MissingPackagesError, find_program, require_debian_packages

FAKE_APT = """#!/bin/sh
echo "$*" >> "$APT_CALLS"
test -z "$APT_FAILS" || { echo "no network"; exit 100; }
case $1 in install) cp /bin/true "$APT_BRINGS";; esac
"""


@pytest.fixture
def brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for apt-get on PATH; return the program that it will bring."""
    apt = tmp_path / "path" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(FAKE_APT)
    apt.chmod(0o755)
    program = apt.parent / "frobnicate"
    monkeypatch.setenv("PATH", f"{apt.parent}:/usr/bin:/bin")
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("APT_CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("APT_BRINGS", str(program))
    monkeypatch.setattr(packages, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return program


def test_what_is_there_is_not_asked_for(brought: Path, tmp_path: Path) -> None:
    require_debian_packages({"coreutils": "ls", "base-files": "/etc"})
    assert not brought.exists()
    assert not (tmp_path / "calls").exists()


def test_root_gets_the_missing_package_and_no_service_with_it(
    brought: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    require_debian_packages({"frobnicator": "frobnicate", "coreutils": "ls"})
    assert find_program("frobnicate") == brought
    asked = (tmp_path / "calls").read_text().splitlines()
    assert asked == ["update", "install --yes --no-install-recommends frobnicator"]
    assert "installing frobnicator" in capsys.readouterr().err
    assert not (tmp_path / "policy-rc.d").exists()


def test_others_get_the_exact_command(
    brought: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    wanted = {"frobnicator": "frobnicate", "hammers": "/opt/hammer"}
    with pytest.raises(MissingPackagesError) as caught:
        require_debian_packages(wanted)
    assert "frobnicate (package frobnicator), /opt/hammer (package hammers)" in str(caught.value)
    assert "apt-get install --yes --no-install-recommends frobnicator hammers" in str(caught.value)
    assert not brought.exists()
    assert not (tmp_path / "calls").exists()


@pytest.mark.usefixtures("brought")
def test_a_failure_shows_what_apt_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("APT_FAILS", "1")
    with pytest.raises(MissingPackagesError, match=r"(?s)apt-get update failed.*no network"):
        require_debian_packages({"frobnicator": "frobnicate"})
    assert not (tmp_path / "policy-rc.d").exists()


@pytest.mark.usefixtures("brought")
def test_a_package_that_does_not_bring_its_program_is_told(tmp_path: Path) -> None:
    with pytest.raises(MissingPackagesError, match=r"programs are missing.*frobnicator"):
        require_debian_packages({"frobnicator": str(tmp_path / "elsewhere")})
