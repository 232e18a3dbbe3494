"""Files reach a repository of a hub, which is private, once, or a sentence says why they do not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from model_presets import hub as asking
from model_presets.destination import Destination, InvalidDestination, read_destination
from model_presets.upload import UploadFailed, UploadRefused, prepare, upload

from tests.model_hub import Hub, serving
from tests.model_hub.uploads import CUT, Shelf

REPO = "team/style"
TOKEN = "hf_write"  # noqa: S105 - of a played hub
FILES = {
    "adapter_config.json": b'{"r": 8}',
    "adapter_model.safetensors": bytes(range(256)) * 300,
}
MAIN = Destination(repo=REPO)
# huggingface_hub 2.4.0 sends a file in a way that its own HTTP client deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf(repo=REPO, token=TOKEN)


@pytest.fixture
def hub(shelf: Shelf) -> Iterator[Hub]:
    with serving(Hub(repo="", revision="", files={}, shelf=shelf)) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "optimizer.pt").write_bytes(b"not for the hub")
    return tmp_path


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FIRST_WAIT_SECONDS", 0.0)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _seconds: None)


def put(hub: Hub, folder: Path, to: Destination = MAIN, token: str | None = TOKEN) -> list[str]:
    """Upload as a tuning does; return what was said of tries that failed."""
    said: list[str] = []
    api = prepare(to, endpoint=hub.endpoint, token=token, report=said.append)
    upload(api, folder, FILES, to, message="Adapter", report=said.append)
    return said


def test_the_files_are_there_in_a_private_repository(hub: Hub, shelf: Shelf, folder: Path) -> None:
    assert put(hub, folder) == []
    assert shelf.visibility == "private"
    assert shelf.branches == {"main": FILES}
    assert shelf.messages == ["Adapter"]


def test_large_files_go_in_parts_where_the_hub_wants_so(
    hub: Hub, shelf: Shelf, folder: Path
) -> None:
    shelf.chunk_bytes = 10_000
    put(hub, folder)
    assert shelf.branches["main"] == FILES


def test_a_repository_that_is_there_keeps_its_visibility_and_its_files(
    hub: Hub, shelf: Shelf, folder: Path
) -> None:
    shelf.visibility = "public"
    shelf.branches["main"] = {"README.md": b"# Style"}
    put(hub, folder)
    assert shelf.visibility == "public"
    assert shelf.branches["main"] == {"README.md": b"# Style", **FILES}


def test_a_branch_is_made_and_main_is_left_alone(hub: Hub, shelf: Shelf, folder: Path) -> None:
    to = Destination(repo=REPO, branch="runs/7")
    put(hub, folder, to)
    put(hub, folder, to)
    assert shelf.branches == {"main": {}, "runs/7": FILES}


def test_the_same_files_are_no_second_commit(hub: Hub, shelf: Shelf, folder: Path) -> None:
    put(hub, folder)
    put(hub, folder)
    assert shelf.messages == ["Adapter"]


@pytest.mark.parametrize("answer", [503, 409, CUT])
@pytest.mark.parametrize(
    "part", ["repos/create", "auth-check", "/preupload/", "/objects/batch", "/lfs/", "/commit/"]
)
def test_a_bad_moment_passes(hub: Hub, shelf: Shelf, folder: Path, part: str, answer: int) -> None:
    shelf.visibility = "private"
    shelf.branches["main"] = {}
    shelf.faults[part] = [answer, answer]
    put(hub, folder)
    assert shelf.branches == {"main": FILES}
    assert shelf.messages == ["Adapter"]


def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    hub: Hub, shelf: Shelf, folder: Path
) -> None:
    shelf.lost_answers = ["/commit/"]
    assert len(put(hub, folder)) == 1
    assert shelf.messages == ["Adapter"]


@pytest.mark.parametrize(
    ("part", "answer", "words"),
    [
        ("repos/create", 401, "does not know this token"),
        ("auth-check", 403, "may not write there"),
        ("/preupload/", 404, "not there"),
        ("/objects/batch", 413, "make room"),
        ("/lfs/", 403, "may not write there"),
        ("/commit/", 400, "HTTP 400"),
    ],
)
def test_a_refusal_ends_at_once_with_what_to_do(
    hub: Hub, shelf: Shelf, folder: Path, part: str, answer: int, words: str
) -> None:
    shelf.faults[part] = [answer] * 2
    with pytest.raises(UploadRefused, match=f"^{REPO}: .*{words}"):
        put(hub, folder)
    assert len(shelf.faults[part]) == 1
    assert not any(shelf.branches.values())


def test_a_hub_that_stays_down_is_told_apart_from_a_refusal(
    hub: Hub, shelf: Shelf, folder: Path
) -> None:
    shelf.faults["/commit/"] = [503] * 99
    with pytest.raises(UploadFailed, match=r"10 attempts; the last: .*503") as raised:
        put(hub, folder)
    assert not isinstance(raised.value, UploadRefused)
    assert shelf.branches == {"main": {}}


def test_who_may_not_write_learns_it_before_the_work(hub: Hub, shelf: Shelf) -> None:
    shelf.visibility = "public"
    shelf.writers = False
    with pytest.raises(UploadRefused, match="may not write there"):
        prepare(MAIN, endpoint=hub.endpoint, token=TOKEN)
    with pytest.raises(UploadRefused, match="does not know this token"):
        prepare(MAIN, endpoint=hub.endpoint, token="other")  # noqa: S106 - of a played hub
    with pytest.raises(UploadRefused, match="no token"):
        prepare(MAIN, endpoint=hub.endpoint, token=None)


def test_no_answer_is_offline_by_the_image(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UploadRefused, match="set it to 0"):
        prepare(MAIN, endpoint=hub.endpoint, token=TOKEN)


@pytest.mark.parametrize(
    ("text", "repo", "branch"),
    [
        ("team/style", "team/style", "main"),
        ("team/style@runs/7", "team/style", "runs/7"),
        ("t/s-1.0_x@v1", "t/s-1.0_x", "v1"),
    ],
)
def test_a_destination_is_read(text: str, repo: str, branch: str) -> None:
    found = read_destination(text)
    assert (found.repo, found.branch) == (repo, branch)
    assert str(found) == text


@pytest.mark.parametrize(
    "text",
    ["", "style", "hf://team/style", "a/b/c", "team/style@", "../x", "team/style@-x", "t/s:1"],
)
def test_what_is_no_destination_is_refused(text: str) -> None:
    with pytest.raises(InvalidDestination, match="write owner/name or owner/name@branch"):
        read_destination(text)
