"""A folder as an image, through a real registry: there, back, and what may not be taken."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_presets.__main__ import main
from model_presets.registry import (
    CONFIG_TYPE,
    LAYER_TYPE,
    MANIFEST_TYPE,
    REFERENCE,
    RegistryFailed,
    pull_folder,
    push_folder,
)
from oras.container import Container
from oras.provider import Registry

from tests.image_registry import RunningRegistry, serving_registry

FILES = {"adapter_config.json": b"{}", "deep/adapter_model.safetensors": bytes(range(256)) * 40}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    with serving_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """oras asks five times over two minutes before it gives up."""
    monkeypatch.setattr("oras.decorator.time.sleep", lambda _seconds: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "source"


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_what_was_pushed_comes_back_by_tag_and_by_digest(
    registry: RunningRegistry, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = f"{registry.host}/team/adapter"
    digest = push_folder(folder, FILES, f"{image}:1", annotations={"sh.kaito.model.name": "tiny"})
    assert digest.startswith("sha256:")
    assert push_folder(
        folder, FILES, f"{image}:2", annotations={"sh.kaito.model.name": "tiny"}
    ) == (digest)
    for number, reference in enumerate((f"{image}:1", f"{image}@{digest}")):
        assert sorted(pull_folder(reference, tmp_path / str(number))) == sorted(FILES)
        assert contents(tmp_path / str(number)) == FILES
    assert main(["pull-image", f"{image}:1", str(tmp_path / "command")]) == 0
    assert contents(tmp_path / "command") == FILES
    assert "adapter_config.json" in capsys.readouterr().out


def test_the_image_is_one_that_a_runtime_takes(registry: RunningRegistry, folder: Path) -> None:
    reference = f"{registry.host}/whole:1"
    push_folder(folder, FILES, reference)
    client, container = Registry(insecure=True), Container(reference)
    manifest = client.get_manifest(container)
    assert manifest["config"]["mediaType"] == CONFIG_TYPE
    config = json.loads(client.get_blob(container, manifest["config"]["digest"]).content)
    layer = client.get_blob(container, manifest["layers"][0]["digest"]).content
    plain = hashlib.sha256(gzip.decompress(layer)).hexdigest()
    assert config["rootfs"]["diff_ids"] == [f"sha256:{plain}"]


def test_a_registry_that_asks_for_a_password_is_given_it(folder: Path, tmp_path: Path) -> None:
    with serving_registry(tmp_path / "registry", password=True) as registry:
        reference = f"{registry.host}/adapter:1"
        with pytest.raises(RegistryFailed, match="asks for a password"):
            push_folder(folder, FILES, reference)
        push_folder(folder, FILES, reference, auth=registry.auth)
        with pytest.raises(RegistryFailed, match="asks for a password"):
            pull_folder(reference, tmp_path / "out")
        wrong = tmp_path / "wrong.json"
        wrong.write_text(json.dumps({"auths": {registry.host: {"auth": "dHVuZXI6d3Jvbmc="}}}))
        with pytest.raises(RegistryFailed, match="check the name"):
            pull_folder(reference, tmp_path / "out", auth=wrong)
        pull_folder(reference, tmp_path / "out", auth=registry.auth)
    assert contents(tmp_path / "out") == FILES


def push_layer(registry: RunningRegistry, name: str, members: list[tarfile.TarInfo]) -> str:
    """Push an image whose one layer holds these members, each with one byte where it is a file."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for member in members:
            member.size = 1 if member.isfile() else 0
            archive.addfile(member, io.BytesIO(b"x") if member.isfile() else None)
    blobs = [(CONFIG_TYPE, b"{}"), (LAYER_TYPE, packed.getvalue())]
    reference = f"{registry.host}/{name}:1"
    client, container = Registry(insecure=True), Container(reference)
    described = []
    for kind, content in blobs:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        described.append({"mediaType": kind, "digest": digest, "size": len(content)})
        path = Path(f"{registry.host.replace(':', '-')}-blob")
        path.write_bytes(content)
        client.upload_blob(str(path), container, described[-1])
        path.unlink()
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": described[0],
        "layers": described[1:],
    }
    client.upload_manifest(manifest, container)
    return reference


def link(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type = tarfile.SYMTYPE
    member.linkname = "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("name", "members", "words"),
    [
        ("link", [link("data/passwd")], "data/passwd: not a plain file"),
        ("climb", [tarfile.TarInfo("data/../../etc/cron")], "not a plain file"),
        ("elsewhere", [tarfile.TarInfo("etc/passwd")], "no file below /data"),
    ],
)
def test_only_plain_files_below_data_are_taken(
    registry: RunningRegistry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    members: list[tarfile.TarInfo],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    reference = push_layer(registry, name, members)
    with pytest.raises(RegistryFailed, match=words):
        pull_folder(reference, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_bytes_that_are_not_the_named_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    with serving_registry(tmp_path / "registry") as registry:
        reference = f"{registry.host}/adapter:1"
        push_folder(folder, FILES, reference)
        blobs = [path for path in (tmp_path / "registry").rglob("data") if path.is_file()]
        layer = max(blobs, key=lambda path: path.stat().st_size)
        layer.write_bytes(layer.read_bytes()[:-1] + b"?")
        with pytest.raises(RegistryFailed, match="its bytes have the digest"):
            pull_folder(reference, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("{host}/no-such:1", "check the name"),
        ("127.0.0.1:1/x:1", "127"),
    ],
)
def test_an_image_that_cannot_be_had_is_named(
    registry: RunningRegistry, tmp_path: Path, reference: str, words: str
) -> None:
    with pytest.raises(RegistryFailed, match=words):
        pull_folder(reference.format(host=registry.host), tmp_path / "out")


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "BAD REF",
        "https://r.example/x:1",
        "r.example/Upper:1",
        "r.example/x:",
        "r.example/x:bad tag",
        "r.example//x",
        "r.example/x@sha256:abc",
        "r.example/x:1\n",
        "r.example:port/x",
    ],
)
def test_what_is_no_reference_is_refused_before_anybody_is_asked(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reference: str,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "requests.sessions.Session.send", lambda *words, **_how: asked.append(words)
    )
    assert main(["pull-image", reference, str(tmp_path / "out")]) == 1
    assert "no image reference; write [HOST[:PORT]/]NAME" in capsys.readouterr().err
    assert asked == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "reference",
    [
        "data:1",
        "team/data",
        "localhost:5000/x",
        "r.example:5443/a/b_c/d--e__f.g:V1.0-rc_1",
        f"R.example/x:1@sha256:{'0a' * 32}",
        f"x@sha256:{'f' * 64}",
    ],
)
def test_references_of_every_shape_are_taken(reference: str) -> None:
    assert REFERENCE.fullmatch(reference)
