"""
Build programs from Go modules, once, into the cache.

The folders below `go/` pin versions (go.mod) and contents (go.sum). A binary's place in the cache
has the hash of both and of the build flags in its name, so a changed pin is another binary, and an
interrupted build leaves none: the file appears by a rename, under a lock, when it is whole. Go's
own module and build caches lie below our cache as well: an empty cache is really empty.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.progress import say
from tests.cluster.surroundings import cache_directory, environment

MODULES = Path(__file__).parent / "go"
PROGRESS_SECONDS = 10
GO_FOLDERS = ("/usr/local/go/bin",)  # where its own installer puts it, often off the PATH
# The linker drops them anyhow, so the program is the same (and the flag is not in its key); not
# making them took 8 % of the time and 18 % of the disk off a cold build of kubectl.
NO_DEBUG_TABLES = "-gcflags=all=-dwarf=false"
KUBE_VERSION = "k8s.io/component-base/version"
CONTAINERD = "github.com/containerd/containerd/v2"


class BuildError(RuntimeError):
    """A program could not be built; the message says what is missing or what Go said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program that one of our Go modules can build."""

    name: str
    module: str  # folder below go/
    package: str  # what `go build` is given
    version_of: str  # the module whose pinned version is the program's
    stamps: tuple[str, ...] = ()  # linker -X settings; {version}, {major} and {minor} are filled in
    tags: str = ""  # build tags, with commas between

    def version(self) -> str:
        """Return the pinned version, e.g. v1.35.4."""
        return pinned_version(self.module, self.version_of)

    def linker_flags(self) -> str:
        """Return -ldflags: no debug tables, and the version, without which clients complain."""
        major, minor = self.version().removeprefix("v").split(".")[:2]
        stamps = (
            stamp.format(version=self.version(), major=major, minor=minor) for stamp in self.stamps
        )
        return " ".join(["-s", "-w", *(f"-X {stamp}" for stamp in stamps)])

    def path(self) -> Path:
        """Return where the cache holds the program, built or not."""
        folder = MODULES / self.module
        key = hashlib.sha256()
        for part in (
            (folder / "go.mod").read_bytes(),
            (folder / "go.sum").read_bytes(),
            self.linker_flags().encode(),
            os.uname().machine.encode(),
            *([self.tags.encode()] if self.tags else []),
        ):
            key.update(hashlib.sha256(part).digest())
        return cache_directory() / "bin" / f"{self.name}-{key.hexdigest()[:12]}" / self.name


def _kubernetes(name: str) -> Tool:
    return Tool(
        name=name,
        module="kubernetes",
        package=f"k8s.io/kubernetes/cmd/{name}",
        version_of="k8s.io/kubernetes",
        stamps=(
            f"{KUBE_VERSION}.gitVersion={{version}}",
            f"{KUBE_VERSION}.gitMajor={{major}}",
            f"{KUBE_VERSION}.gitMinor={{minor}}",
        ),
    )


def _containerd(name: str) -> Tool:
    return Tool(
        name=name,
        module="containerd",
        package=f"{CONTAINERD}/cmd/{name}",
        version_of=CONTAINERD,
        stamps=(f"{CONTAINERD}/version.Version={{version}}",),
    )


TOOLS = {
    tool.name: tool
    for tool in (
        _kubernetes("kube-apiserver"),
        _kubernetes("kubectl"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubelet"),
        _kubernetes("kube-proxy"),
        Tool(
            name="helm",
            module="helm",
            package="helm.sh/helm/v4/cmd/helm",
            version_of="helm.sh/helm/v4",
            stamps=("helm.sh/helm/v4/internal/version.version={version}",),
        ),
        Tool(
            name="karpenter-kwok",
            module="karpenter",
            package="sigs.k8s.io/karpenter/kwok",
            version_of="sigs.k8s.io/karpenter",
        ),
        Tool(
            name="etcd",
            module="etcd",
            package="go.etcd.io/etcd/server/v3",
            version_of="go.etcd.io/etcd/server/v3",
        ),
        _containerd("containerd"),
        _containerd("containerd-shim-runc-v2"),
        Tool(
            name="kube-score",
            module="kube-score",
            package="github.com/zegl/kube-score/cmd/kube-score",
            version_of="github.com/zegl/kube-score",
        ),
        Tool(
            name="promtool",
            module="prometheus",
            package="github.com/prometheus/prometheus/cmd/promtool",
            version_of="github.com/prometheus/prometheus",
            tags="remove_all_sd",  # of no use here, and most of what there is to compile
        ),
        Tool(
            name="cosign",
            module="cosign",
            package="github.com/sigstore/cosign/v3/cmd/cosign",
            version_of="github.com/sigstore/cosign/v3",
            stamps=("sigs.k8s.io/release-utils/version.gitVersion={version}",),
        ),
    )
}


def pinned_version(module: str, dependency: str) -> str:
    """Return the version of a dependency that go/<module>/go.mod pins."""
    text = (MODULES / module / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s+{re.escape(dependency)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise BuildError(f"go/{module}/go.mod does not require {dependency}")
    return found.group(1)


def module_source(module: str, dependency: str) -> Path:
    """Return the folder with the sources of a dependency at its pinned version, fetching them."""
    arguments = ["mod", "download", "-json", dependency]
    done = subprocess.run(
        [_go(), *arguments],
        cwd=MODULES / module,
        env=_go_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r'"Dir": "([^"]+)"', done.stdout)
    if done.returncode != 0 or found is None:
        raise BuildError(f"go {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return Path(found.group(1))


def build(tools: Sequence[Tool]) -> None:
    """Build those programs that the cache lacks, telling on stderr how far it is."""
    if all(tool.path().exists() for tool in tools):
        return
    with _lock():
        missing = [tool for tool in tools if not tool.path().exists()]
        for number, tool in enumerate(missing, start=1):
            _build(tool, f"build {number}/{len(missing)}: {tool.name} {tool.version()}")


def _build(tool: Tool, title: str) -> None:
    go = _go()
    target = tool.path()
    partial = target.parent.with_name(f"{target.parent.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    log = partial / "build.log"
    flags = ["-v", "-tags", tool.tags, "-ldflags", tool.linker_flags(), NO_DEBUG_TABLES]
    command = [go, "build", *flags, "-o", str(partial / tool.name)]
    say(f"{title} from Go module {tool.version_of}")
    started = time.monotonic()
    with (
        log.open("w") as output,
        subprocess.Popen(
            [*command, tool.package],
            cwd=MODULES / tool.module,
            env=_go_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as running,
    ):
        while _still_running(running):
            seconds = time.monotonic() - started
            say(f"{title}: {seconds:.0f} s so far, {_progress(log)}")
    if running.returncode != 0:
        tail = "\n".join(log.read_text().splitlines()[-20:])
        raise BuildError(f"{title} failed (go exited {running.returncode}):\n{tail}")
    target.parent.mkdir(parents=True, exist_ok=True)
    (partial / tool.name).replace(target)
    shutil.rmtree(partial)
    megabytes = target.stat().st_size / 1e6
    say(f"{title}: {megabytes:.0f} MB in {time.monotonic() - started:.0f} s, {target}")


def _still_running(process: subprocess.Popen[bytes]) -> bool:
    try:
        process.wait(timeout=PROGRESS_SECONDS)
    except subprocess.TimeoutExpired:
        return True
    return False


def _progress(log: Path) -> str:
    """Say how far Go is: it prints the modules that it fetches and the packages it compiles."""
    lines = log.read_text().splitlines()
    fetched = sum(line.startswith("go: downloading") for line in lines)
    compiled = sum(not line.startswith("go: ") for line in lines)
    return f"{fetched} modules fetched, {compiled} packages compiled"


def _go() -> str:
    folders = (environment().get("PATH", os.defpath), *GO_FOLDERS)
    found = shutil.which("go", path=os.pathsep.join(folders))
    if found is None:
        raise BuildError(
            "`go` is missing, which builds the Kubernetes binaries: install Go 1.26 or newer, or"
            " name a folder of ready binaries in KUBEBUILDER_ASSETS or ATELIER_BINARIES"
        )
    return found


def _go_environment() -> dict[str, str]:
    caches = cache_directory() / "go"
    own = {"GOMODCACHE": str(caches / "mod"), "GOCACHE": str(caches / "build"), "CGO_ENABLED": "0"}
    return environment() | own | {"GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false"}


@contextmanager
def _lock() -> Iterator[None]:
    """Let one process build at a time; the others wait, and then find the work done."""
    path = cache_directory() / "build.lock"
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"build: another process is building; waiting for it ({path})")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
