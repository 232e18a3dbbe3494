"""Keys come from a file, rotate with it, and are nowhere kept as they are."""

from pathlib import Path

import pytest
from model_server.settings import BadStart
from model_server.web.api_keys import ApiKeys


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def write(path: Path, text: str) -> None:
    """Replace the file whole, as editors and mounts do."""
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def test_every_line_is_a_key_in_its_own_letter_case(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("# of the team\nAlpha-1\n\n  beta-2  \n", encoding="utf-8")
    keys = ApiKeys(file)
    for shown in (b"Bearer Alpha-1", b"bearer beta-2", b"BEARER  beta-2"):
        assert keys.admit(shown)
    for wrong in (b"", b"Bearer", b"Bearer ", b"Bearer alpha-1", b"Basic Alpha-1", b"Alpha-1"):
        assert not keys.admit(wrong)
    assert not keys.admit(None)
    assert not keys.admit(b"Bearer # of the team")


def test_a_folder_is_a_mounted_secret(tmp_path: Path, clock: Clock) -> None:
    for version, key in (("..1", "old"), ("..2", "new")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "team").write_text(key, encoding="utf-8")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "team").symlink_to("..data/team")
    keys = ApiKeys(tmp_path, clock=clock)
    assert keys.admit(b"Bearer old")
    (tmp_path / "..data").unlink()
    (tmp_path / "..data").symlink_to("..2")
    clock.now += 2
    assert keys.admit(b"Bearer new")
    assert not keys.admit(b"Bearer old")


def test_a_changed_file_is_read_within_a_second(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys"
    write(file, "old")
    keys = ApiKeys(file, clock=clock)
    write(file, "new\n")
    assert keys.admit(b"Bearer old")  # not looked at for every request
    clock.now += 1
    assert keys.admit(b"Bearer new")
    assert not keys.admit(b"Bearer old")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe", None])
def test_a_file_that_cannot_be_used_leaves_the_keys_as_they_are(
    content: bytes | None, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    write(file, "secret-key")
    keys = ApiKeys(file, clock=clock)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    clock.now += 2
    assert keys.admit(b"Bearer secret-key")
    assert [r.getMessage() for r in caplog.records] == ["api_keys_unreadable"]
    assert "secret" not in str(vars(caplog.records[0]))


@pytest.mark.parametrize("content", [b"", b"\n# x\n", b"\xff", None])
def test_a_start_without_a_key_is_refused(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadStart, match="--api-keys"):
        ApiKeys(file)


def test_no_key_is_kept_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("canary-of-a-key", encoding="utf-8")
    assert "canary" not in str(vars(ApiKeys(file)))
