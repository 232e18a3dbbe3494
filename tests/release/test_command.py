"""The command line says what is missing before it pushes anything."""

from pathlib import Path

import pytest

from release.__main__ import main
from release.contents import ReleaseError
from release.programs import Programs, output_of, reading_passwords_from
from release.signing import Signer, attest, sign, signer, verify

SHELL = Path("/bin/sh")
NONE = Programs(cosign=SHELL, helm=SHELL, skopeo=SHELL, environment={})


def test_help_says_what_it_does_and_where_passwords_come_from(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for word in ("sign each digest", "COSIGN_PASSWORD", "docker login", "--transparency-log"):
        assert word in said


@pytest.mark.parametrize(
    ("registry", "words"),
    [("", "no registry"), ("registry.example.com/atelier", "is no folder")],
)
def test_what_is_wrong_is_one_line_and_exit_code_1(
    tmp_path: Path, registry: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["--registry", registry, "--key", "k", "--images", str(tmp_path / "absent")]
    assert main([*wanted, "--output", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("release: ")
    assert words in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("key", "words"),
    [("", "no key"), ("absent.key", "no such file"), (__file__, "COSIGN_PASSWORD")],
)
def test_a_key_that_cannot_sign_is_named(tmp_path: Path, key: str, words: str) -> None:
    with pytest.raises(ReleaseError, match=words):
        signer(NONE, key, tmp_path, transparency_log=False)


def test_a_tag_is_neither_signed_nor_verified(tmp_path: Path) -> None:
    by = Signer(programs=NONE, key="k", public_key=tmp_path, signing=(), verifying=())
    tag = "registry.example.com/atelier/operator:0.1.0"
    for act in (sign, verify, lambda by, name: attest(by, name, tmp_path)):
        with pytest.raises(ReleaseError, match="not named by a digest"):
            act(by, tag)


def test_one_file_of_passwords_serves_all_programs(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    assert set(reading_passwords_from(path).values()) == {str(path), str(tmp_path)}
    for other in (tmp_path / "auth.json", tmp_path / "absent" / "config.json"):
        with pytest.raises(ReleaseError, match=r"not Docker's config\.json"):
            reading_passwords_from(other)


def test_a_program_that_refuses_is_quoted() -> None:
    with pytest.raises(ReleaseError, match=r"/bin/sh -c ended with 3: denied"):
        output_of(SHELL, "-c", "echo denied >&2; exit 3", environment={})
    assert output_of(SHELL, "-c", "read line || echo nobody", environment={}) == "nobody\n"
