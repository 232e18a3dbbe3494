"""
A whole release into a real registry with a password, signed by the real cosign, and what a user
finds who checks it. No transparency log: nothing here may leave the machine.
"""

import base64
import hashlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
import yaml

from release.bill import PLACE
from release.contents import ReleaseError
from release.programs import Programs, output_of, reading_passwords_from
from release.signing import Signer, verify, verify_bill
from tests.cluster import binary
from tests.cluster.image_archive import ImageFile, ImageSettings, write_image
from tests.cluster.surroundings import environment
from tests.image_registry import PASSWORD, USER, RunningRegistry, serving_registry

pytestmark = [pytest.mark.release, pytest.mark.timeout(240), pytest.mark.usefixtures("cosign")]

IMAGES = ("operator", "tiny-mistral", "tiny-mistral-tuning")
VERSION = "1.2.3"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A release that was made, and what to make it again with."""

    command: tuple[str, ...]
    variables: dict[str, str]
    registry: RunningRegistry
    folder: Path
    references: dict[str, str]
    by: Signer

    def again(self) -> None:
        subprocess.run(self.command, env=self.variables, check=True, capture_output=True)  # noqa: S603


def bill(name: str) -> dict[str, object]:
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "components": [{"type": "library", "name": name, "version": "1"}],
    }


def write(path: Path, name: str) -> None:
    files = {"/code": name.encode(), f"/{PLACE}": json.dumps(bill(name)).encode()}
    write_image(
        path,
        ImageSettings(name=f"{name}:1", entrypoint=("/code",)),
        [ImageFile(path=PurePosixPath(place), content=text) for place, text in files.items()],
    )


def keys(folder: Path, name: str, variables: dict[str, str]) -> Path:
    output_of(
        *(binary("cosign"), "generate-key-pair", "--output-key-prefix", folder / name),
        environment=variables,
    )
    return folder / f"{name}.key"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("release")
    (folder / "images").mkdir()
    for name in IMAGES:
        write(folder / "images" / f"{name}.tar", name)
    with serving_registry(folder / "registry", password=True) as registry:
        assert registry.auth is not None
        variables = environment() | {"COSIGN_PASSWORD": "of the key"}
        key = keys(folder, "own", variables)
        command = (
            *(sys.executable, "-m", "release", "--registry", f"{registry.host}/atelier"),
            *("--key", str(key), "--images", str(folder / "images"), "--version", VERSION),
            *("--output", str(folder / "dist"), "--auth-file", str(registry.auth), "--plain-http"),
        )
        done = subprocess.run(  # noqa: S603 - the program under test
            command, env=variables, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        published = [json.loads(line) for line in done.stdout.splitlines()]
        programs = Programs(
            cosign=binary("cosign"),
            helm=binary("helm"),
            skopeo=Path("skopeo"),
            environment=variables | reading_passwords_from(registry.auth),
            plain_http=True,
        )
        yield Made(
            command=command,
            variables=variables,
            registry=registry,
            folder=folder,
            references={each["name"]: each["reference"] for each in published},
            by=Signer(
                programs=programs,
                key=str(key),
                public_key=folder / "own.pub",
                signing=(),
                verifying=("--insecure-ignore-tlog",),
            ),
        )


def test_everything_is_signed_and_every_image_says_what_is_in_it(made: Made) -> None:
    assert set(made.references) == {*IMAGES, "charts/atelier"}
    for reference in made.references.values():
        verify(made.by, reference)
    for name in IMAGES:
        verify_bill(made.by, made.references[name])
    with pytest.raises(ReleaseError, match="verify-attestation"):
        verify_bill(made.by, made.references["charts/atelier"])
    assert (made.folder / "dist" / "cosign.pub").read_text() == made.by.public_key.read_text()


def test_the_attested_bill_is_the_one_in_the_image(made: Made) -> None:
    for name in IMAGES:
        said = output_of(
            made.by.programs.cosign,
            *("verify-attestation", "--key", made.by.public_key, "--type", "cyclonedx"),
            *("--insecure-ignore-tlog", "--allow-http-registry", made.references[name]),
            environment=made.by.programs.environment,
        )
        envelope = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
        statement = json.loads(base64.b64decode(envelope["payload"]))
        assert statement["predicate"] == bill(name)
        digest = made.references[name].partition("@sha256:")[2]
        assert [each["digest"] for each in statement["subject"]] == [{"sha256": digest}]


def test_another_key_verifies_nothing(made: Made) -> None:
    keys(made.folder, "other", made.variables)
    other = Signer(
        programs=made.by.programs,
        key="",
        public_key=made.folder / "other.pub",
        signing=(),
        verifying=made.by.verifying,
    )
    for reference in made.references.values():
        with pytest.raises(ReleaseError, match="cosign verify ended"):
            verify(other, reference)


def ask(made: Made, method: str, path: str, body: bytes | None = None, kind: str = "") -> bytes:
    secret = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {
        "Authorization": f"Basic {secret}",
        "Accept": f"{OCI_MANIFEST}, {OCI_INDEX}",
        "Content-Type": kind,
    }
    request = urllib.request.Request(
        f"http://{made.registry.host}/v2/atelier/{path}", data=body, headers=headers, method=method
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
        read: bytes = answer.read()
        return read


def test_a_changed_image_is_not_signed_nor_with_the_signature_of_the_signed_one(
    made: Made,
) -> None:
    """Whoever may write to the registry moves the tag, and lays the old signature beside it."""
    name, _, digest = made.references["operator"].partition("@sha256:")
    manifest = json.loads(ask(made, "GET", f"operator/manifests/sha256:{digest}"))
    changed = json.dumps(manifest | {"annotations": {"changed": "yes"}}).encode()
    other = hashlib.sha256(changed).hexdigest()
    ask(made, "PUT", f"operator/manifests/{VERSION}", changed, OCI_MANIFEST)
    with pytest.raises(ReleaseError, match="no signatures found"):
        verify(made.by, f"{name}@sha256:{other}")

    signatures = ask(made, "GET", f"operator/manifests/sha256-{digest}")
    ask(made, "PUT", f"operator/manifests/sha256-{other}", signatures, OCI_INDEX)
    with pytest.raises(ReleaseError, match="does not match any digest in statement"):
        verify(made.by, f"{name}@sha256:{other}")
    verify(made.by, made.references["operator"])


def test_a_second_run_pushes_the_same_and_signs_nothing_twice(made: Made) -> None:
    def signatures() -> list[bytes]:
        return [
            ask(made, "GET", f"{name.partition('/atelier/')[2]}/manifests/sha256-{digest}")
            for name, _, digest in (each.partition("@sha256:") for each in sorted(found))
        ]

    found = [made.references[name] for name in IMAGES]
    before, values = signatures(), (made.folder / "dist" / "values-release.yaml").read_text()
    made.again()
    assert signatures() == before
    assert (made.folder / "dist" / "values-release.yaml").read_text() == values
    left = json.loads((made.folder / "dist" / "release.json").read_text())
    again = {each["name"]: each["reference"] for each in left}
    assert {name: again[name] for name in IMAGES} == {
        name: made.references[name] for name in IMAGES
    }


def test_the_published_chart_asks_for_the_published_images(made: Made, tmp_path: Path) -> None:
    output_of(
        made.by.programs.helm,
        *("pull", f"oci://{made.references['charts/atelier']}", "--untar", "--plain-http"),
        *("--untardir", tmp_path),
        environment=made.by.programs.environment,
    )
    chart = tmp_path / "atelier"
    values = chart / "values-release.yaml"
    assert values.read_text() == (made.folder / "dist" / "values-release.yaml").read_text()
    rendered = output_of(
        *(made.by.programs.helm, "template", "atelier", chart, "--values", values),
        environment=made.by.programs.environment,
    )
    pods = [each for each in yaml.safe_load_all(rendered) if each["kind"] == "Deployment"]
    images = [pod["spec"]["template"]["spec"]["containers"][0]["image"] for pod in pods]
    assert images == [made.references["operator"]]
