"""What is not named and not ours is never written to."""

from pathlib import Path

import pytest
import yaml

from tests.cluster.contexts import (
    ForeignContextError,
    Provider,
    Target,
    choose,
    require_own_context,
    target,
)
from tests.cluster.surroundings import clusters_directory

AUTO, OWN, KIND, EXISTING = Provider.AUTO, Provider.OWN, Provider.KIND, Provider.EXISTING


def kubeconfig(path: Path, context: str, server: str) -> Path:
    config = {
        "current-context": context,
        "contexts": [{"name": context, "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATELIER_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("asked", "needs_nodes", "context", "kind_works", "chosen"),
    [
        (AUTO, True, "mine", True, EXISTING),
        (AUTO, False, "mine", False, EXISTING),
        (EXISTING, True, "mine", False, EXISTING),
        (AUTO, True, None, True, KIND),
        (AUTO, True, None, False, OWN),
        (AUTO, False, None, True, OWN),
        (OWN, True, None, True, OWN),
        (KIND, True, None, False, KIND),
    ],
)
def test_the_order_of_choice(
    asked: Provider,
    needs_nodes: bool,  # noqa: FBT001 - a column of the table
    context: str | None,
    kind_works: bool,  # noqa: FBT001 - a column of the table
    chosen: Provider,
) -> None:
    found = choose(asked, needs_nodes=needs_nodes, context=context, kind_works=lambda: kind_works)
    assert found is chosen


@pytest.mark.parametrize(
    ("asked", "context", "remedy"),
    [(EXISTING, None, "give --context NAME"), (OWN, "mine", "name one of them")],
)
def test_contradictions_are_refused(asked: Provider, context: str | None, remedy: str) -> None:
    with pytest.raises(ForeignContextError, match=remedy):
        choose(asked, needs_nodes=True, context=context, kind_works=lambda: True)


def test_docker_is_not_asked_where_the_answer_does_not_matter() -> None:
    def asked() -> bool:
        raise AssertionError

    choose(AUTO, needs_nodes=False, context=None, kind_works=asked)
    choose(AUTO, needs_nodes=True, context="mine", kind_works=asked)


def test_a_foreign_context_is_refused_by_name_server_and_remedy(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", "production", "https://prod:443")
    with pytest.raises(ForeignContextError) as caught:
        require_own_context(file)
    for part in (str(file), "'production'", "https://prod:443", "--context production"):
        assert part in str(caught.value)
    with pytest.raises(ForeignContextError):
        require_own_context(file, named="staging")


def test_a_named_context_is_let_through(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path / "config", "production", "https://prod:443")
    assert require_own_context(file, named="production").server == "https://prod:443"


def test_a_cluster_of_ours_is_let_through_also_by_a_copy_of_its_file(tmp_path: Path) -> None:
    file = kubeconfig(clusters_directory() / "x" / "kubeconfig", "atelier-x", "https://here:1")
    copy = tmp_path / "config"
    copy.write_bytes(file.read_bytes())
    for path in (file, copy):
        assert require_own_context(path) == Target(context="atelier-x", server="https://here:1")


def test_the_name_of_ours_with_another_server_is_foreign(tmp_path: Path) -> None:
    kubeconfig(clusters_directory() / "x" / "kubeconfig", "atelier-x", "https://here:1")
    impostor = kubeconfig(tmp_path / "config", "atelier-x", "https://prod:443")
    with pytest.raises(ForeignContextError):
        require_own_context(impostor)


@pytest.mark.parametrize("text", ["", "current-context: x", "{current-context: x, contexts: null}"])
def test_a_kubeconfig_that_leads_nowhere_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(ForeignContextError, match="leads to no server"):
        target(file)
