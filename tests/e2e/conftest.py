"""One run of the whole line for all end-to-end tests: it takes minutes where the cache is cold."""

from collections.abc import Iterator

import pytest

from tests.cluster import node_cluster
from tests.demo import line
from tests.demo.line import Outcome
from tests.demo.narration import Narration

NAME = "e2e"


@pytest.fixture(scope="session")
def outcome() -> Iterator[Outcome]:
    try:
        yield line.run(NAME, Narration(total=line.STEPS))
    finally:
        node_cluster.down(NAME)
