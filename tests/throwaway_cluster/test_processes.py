"""Processes are found again by their record, and nothing else is ever signalled."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.processes import NotReadyError, Process, process_identity, processes, start

STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); "


def script(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def sleeper(directory: Path, name: str = "sleeper") -> Process:
    return start(directory, name, ["sleep", "60"])


def test_a_process_is_found_again_from_its_folder_alone(tmp_path: Path) -> None:
    pid = sleeper(tmp_path).pid()
    again = Process(directory=tmp_path, name="sleeper")
    assert pid is not None
    assert again.pid() == pid
    assert os.getsid(pid) == pid, "a session of its own, so that no terminal ends it"
    again.stop()
    assert again.pid() is None
    assert not again.record.exists()


def test_another_program_can_end_it(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    code = (
        "from pathlib import Path; from tests.cluster.processes import Process;"
        f"Process(directory=Path({str(tmp_path)!r}), name='sleeper').stop()"
    )
    subprocess.run(script(code), check=True)  # noqa: S603 - this interpreter, our code
    assert process.pid() is None


def test_a_pid_that_now_belongs_to_another_process_is_not_signalled(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    pid = process.pid()
    recorded = json.loads(process.record.read_text())
    boot, _, start_ticks = recorded["identity"].rpartition("/")
    earlier = f"{boot}/{int(start_ticks) - 1}"
    process.record.write_text(json.dumps(recorded | {"identity": earlier}))
    assert process.pid() is None
    assert process.signal(signal.SIGKILL) is False
    process.stop()
    process.record.write_text(json.dumps(recorded))
    assert process.pid() == pid, "the stranger lives"
    process.stop()


def test_a_process_deaf_to_sigterm_is_killed_after_the_grace(tmp_path: Path) -> None:
    process = start(tmp_path, "deaf", script(STUBBORN + "time.sleep(60)"))
    process.wait_until(lambda: "deaf" in process.log.read_text(), what="deaf", deadline_seconds=20)
    process.stop(grace_seconds=0.1)
    assert process.pid() is None


def test_a_paused_process_can_be_stopped(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    process.signal(signal.SIGSTOP)
    process.stop(grace_seconds=20)
    assert process.pid() is None


def test_an_ended_process_is_told_with_its_last_words(tmp_path: Path) -> None:
    process = start(tmp_path, "brief", script("print('no such port')"))
    with pytest.raises(NotReadyError, match=r"(?s)brief ended before ready.*no such port"):
        process.wait_until(lambda: None, what="ready", deadline_seconds=20)


def test_a_process_that_is_not_ready_in_time_is_told_with_its_log(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    with pytest.raises(NotReadyError, match=r"not ready after 0 s.*sleeper\.log"):
        process.wait_until(lambda: None, what="ready", deadline_seconds=0)
    process.stop()


def test_waiting_gives_what_the_condition_gave(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    assert process.wait_until(lambda: "yes", what="ready", deadline_seconds=1) == "yes"
    process.stop()


def test_a_restart_runs_the_same_command_with_the_same_variables(tmp_path: Path) -> None:
    code = "import os, time; print('greets', os.environ['WHOM'], flush=True); time.sleep(60)"
    process = start(tmp_path, "greeter", script(code), {"WHOM": "you"})

    def greeted(times: int) -> bool:
        return process.log.read_text().count("greets you") == times

    process.wait_until(lambda: greeted(1), what="first greeting", deadline_seconds=20)
    first = process.pid()
    process.kill()
    process.restart()
    process.wait_until(lambda: greeted(2), what="second greeting", deadline_seconds=20)
    assert process.pid() not in (None, first)
    process.stop()


def test_a_name_is_not_started_twice(tmp_path: Path) -> None:
    process = sleeper(tmp_path)
    with pytest.raises(NotReadyError, match="runs already"):
        sleeper(tmp_path)
    process.stop()


def test_processes_are_listed_youngest_first(tmp_path: Path) -> None:
    for name in ("etcd", "api"):
        sleeper(tmp_path, name)
    assert [process.name for process in processes(tmp_path)] == ["api", "etcd"]
    for process in processes(tmp_path):
        process.stop()
    assert processes(tmp_path) == []


def test_a_process_that_never_was_has_no_identity() -> None:
    assert process_identity(2**22 + 1) is None  # above the kernel's largest pid
    assert process_identity(os.getpid()) == process_identity(os.getpid())
