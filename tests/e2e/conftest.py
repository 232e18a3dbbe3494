"""One run of the whole line for all end-to-end tests: it takes minutes where the cache is cold."""

from collections.abc import Iterator

import pytest

from tests.cluster import node_cluster
from tests.demo import line, teaching
from tests.demo.line import Outcome
from tests.demo.narration import Narration
from tests.demo.teaching import Taught
from tests.image_registry import serving_registry

NAME = "e2e"


@pytest.fixture(scope="session")
def outcome() -> Iterator[Outcome]:
    try:
        yield line.run(NAME, Narration(total=line.STEPS))
    finally:
        node_cluster.down(NAME)


@pytest.fixture(scope="session")
def taught(outcome: Outcome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taught]:
    host = str(outcome.cluster.block.host)
    stored, lessons = (tmp_path_factory.mktemp(name) for name in ("registry", "lessons"))
    with serving_registry(stored, password=True, address=host) as registry:
        story = Narration(total=teaching.STEPS)
        yield teaching.run(outcome.cluster, registry, lessons, story)
