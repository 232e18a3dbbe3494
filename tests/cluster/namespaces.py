"""
The two kinds of Linux namespaces that a node-size cluster consists of.

- The *cluster's* network namespace. Its control plane runs in it as ordinary processes of the host.
- A *machine* in it: a mount, pid and hostname namespace on top, with folders of its own for /run,
  /var/lib and /var/log, which is what makes two containerds and kubelets on one host two machines.

Neither has a name in /run/netns: each is held by a process, and gone with it. Whatever runs in a
machine (containers, shims, mounts, the pods' network namespaces) ends when its holder ends, and the
holders all live in the cluster's network namespace; so ending the processes of that namespace
leaves nothing, also after a crash that forgot every pid.
"""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.processes import Process, process_identity, start

POLL_SECONDS = 0.02
BOOT_SECONDS = 10
# Zombies of processes that lost their parent are collected by the kernel: SIGCHLD is ignored, and
# stays so through exec.
HOLD = "trap '' CHLD; exec sleep infinity"
MACHINE_FOLDERS = {"run": "/run", "log": "/var/log", "lib": "/var/lib"}
BOOTED = "booted"
# The machine sees the host's file system, with folders of its own where state is kept. /var/lib
# comes last, for the machine's folder may itself lie below it.
BOOT = f"""
set -eu
hostname "$2"
mount --bind "$1/run" /run
mount --bind "$1/log" /var/log
mount --bind "$1/lib" /var/lib
mount --make-rshared /
touch "$1/{BOOTED}"
{HOLD}
"""


def hold_network(directory: Path) -> Process:
    """Make a network namespace, held by the process that is returned."""
    # --fork: the command line that names the folder, by which a lost holder is found, stays ours.
    command = ["unshare", "--net", "--fork", "--kill-child", "sh", "-c", HOLD, marker(directory)]
    process = start(directory, "network", command)
    host = _namespace(os.getpid(), "net")

    def separate() -> bool:
        pid = process.pid()
        return pid is not None and _namespace(pid, "net") not in {None, host}

    process.wait_until(separate, what="in a namespace", deadline_seconds=BOOT_SECONDS)
    return process


def hold_machine(directory: Path, name: str, network: Process, folder: Path) -> Process:
    """
    Make a machine in the network namespace, in a folder that no machine had before.

    What is returned is the parent of its PID 1, whose end ends the machine.
    """
    for own in MACHINE_FOLDERS:
        (folder / own).mkdir(mode=0o755, parents=True, exist_ok=True)
    command = [*in_network(network), "unshare", "--mount", "--pid", "--uts", "--fork"]
    command += ["--kill-child", "--mount-proc", "sh", "-c", BOOT, marker(directory)]
    process = start(directory, f"{name}-machine", [*command, folder, name])
    # Not before the mounts: what enters earlier would write into the host's own /var/lib.
    booted = (folder / BOOTED).exists
    process.wait_until(booted, what="booted", deadline_seconds=BOOT_SECONDS)
    return process


def in_network(network: Process) -> list[str]:
    """Return the words that run a command in the cluster's network namespace."""
    return ["nsenter", f"--net=/proc/{pid_of(network)}/ns/net", "--"]


def in_machine(machine: Process) -> list[str]:
    """
    Return the words that run a command in a machine, ended when the `nsenter` in front of it ends.

    `ip netns exec` would not do: it mounts /sys anew, and the kubelet then finds no control groups.
    """
    own = f"/proc/{pid_of(machine)}/ns"
    spaces = [f"--net={own}/net", f"--mount={own}/mnt", f"--uts={own}/uts"]
    enter = ["nsenter", *spaces, f"--pid={own}/pid_for_children", "--"]
    return [*enter, "setpriv", "--pdeathsig", "TERM", "--"]


def marker(directory: Path) -> str:
    """Return the word in a holder's command line that says whose it is."""
    return f"atelier-cluster={directory}"


def members(directory: Path, spaces: set[str]) -> list[int]:
    """Return the processes in these network namespaces, and the cluster's holders."""
    word = marker(directory).encode()
    return [pid for pid in _others() if _namespace(pid, "net") in spaces or word in _words(pid)]


def network_spaces(directory: Path) -> set[str]:
    """Return the cluster's network namespace, found by its holders and never the host's own."""
    word = marker(directory).encode()
    held = {_namespace(pid, "net") for pid in _others() if word in _words(pid)}
    return {space for space in held if space} - {_namespace(os.getpid(), "net") or ""}


def end_members(directory: Path, *, deadline_seconds: float = 10) -> None:
    """
    Kill every process of a cluster, until a look around finds none.

    Raises:
        RuntimeError: processes survive SIGKILL (the kernel waits for something in them).
    """
    spaces = network_spaces(directory)
    give_up = time.monotonic() + deadline_seconds
    while rest := members(directory, spaces):
        for pid in rest:
            _kill(pid)
        if time.monotonic() > give_up:
            raise RuntimeError(f"processes survive SIGKILL: {rest}")
        time.sleep(POLL_SECONDS)


def run_in(prefix: Sequence[str], command: Sequence[str | Path]) -> str:
    """Run a command to its end behind one of the prefixes above, and return what it printed."""
    done = subprocess.run([*prefix, *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise RuntimeError(f"{words}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def pid_of(process: Process) -> int:
    """Return the pid of a process that has to run."""
    pid = process.pid()
    if pid is None:
        raise RuntimeError(f"{process.name} does not run: {process.log_tail()}")
    return pid


def _others() -> list[int]:
    own = os.getpid()
    found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in found if pid != own and process_identity(pid) is not None]


def _namespace(pid: int, kind: str) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/ns/{kind}").readlink())
    except OSError:
        return None


def _words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
