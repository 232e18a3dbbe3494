"""
Start the operator as its chart confines it: nothing to write to but 16 MiB of /tmp.

The chart sets `readOnlyRootFilesystem` and mounts one emptyDir; here a mount namespace does the
same to the machine that runs the tests: every file system is read-only in it (/proc, /sys and /dev
are as a container has them), /tmp is an empty one of the chart's size, HOME points there as in the
image, and all capabilities are gone. The user stays root, since Python may lie in root's home.
"""

import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TMP = Path("/tmp")  # noqa: S108 - that of the namespace
# Where the credentials are seen, as a pod sees its token: read-only, and renewed from outside.
CREDENTIALS = Path("/mnt")
SCRIPT = f"""
set -eu
mount --bind "$1" {CREDENTIALS}
mount -o remount,bind,ro {CREDENTIALS}
while read -r _ _ _ _ place options _; do
  case "$place" in /proc|/proc/*|/sys|/sys/*|/dev|/dev/*) continue ;; esac
  case "$place" in {CREDENTIALS}|{CREDENTIALS}/*) continue ;; esac
  case "$options" in rw|rw,*) mount -o remount,bind,ro "$place" ;; esac
done < /proc/self/mountinfo
mount -t tmpfs -o size=16m,mode=1777 scratch {TMP}
shift
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""


@cache
def can_be_read_only() -> bool:
    """Say whether this machine lets us: root, with mount namespaces, and Python not below /tmp."""
    hidden = any(TMP in Path(each).resolve().parents for each in (ROOT, sys.prefix, sys.executable))
    tools = all(map(shutil.which, ("unshare", "setpriv", "mount", "nsenter")))
    if hidden or not tools or os.geteuid() != 0:
        return False
    tried = subprocess.run(_confined(ROOT, "true"), check=False, capture_output=True)  # noqa: S603 - ours
    return tried.returncode == 0


def read_only_start(environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start the program with nothing to write to."""
    kubeconfig = Path(environment["KUBECONFIG"])
    seen = {"HOME": str(TMP), "KUBECONFIG": str(CREDENTIALS / kubeconfig.name)}
    command = _confined(kubeconfig.parent, sys.executable, "-m", "workspace_operator")
    with log.open("ab") as stderr:
        return subprocess.Popen(command, env=environment | seen, stderr=stderr)  # noqa: S603 - ours


def _confined(credentials: Path, *command: str) -> list[str]:
    """Return what runs a command so; each step replaces the one before, so signals arrive."""
    words = ("unshare", "--mount", "sh", "-c", SCRIPT, "sh", str(credentials), *command)
    return [shutil.which(words[0]) or words[0], *words[1:]]


def seen_by(pid: int, command: str) -> "subprocess.CompletedProcess[str]":
    """Run a command among the mounts of a process, with all rights of root."""
    words = ["nsenter", f"--target={pid}", "--mount", *shlex.split(command)]
    words[0] = shutil.which(words[0]) or words[0]
    return subprocess.run(words, check=False, capture_output=True, text=True)  # noqa: S603 - ours
