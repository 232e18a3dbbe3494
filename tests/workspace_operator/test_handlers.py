"""What the library that watches is told: it must not give up, for the process would end with it."""

from itertools import islice
from typing import Any

import pytest
from workspace_operator.handlers import Forgetful, Patience, watching
from workspace_operator.settings import NodeProvisioner

AN_HOUR_OF_TRIES = 450


@pytest.mark.parametrize("provisioner", NodeProvisioner)
def test_a_watch_that_is_refused_is_tried_for_as_long_as_it_takes(
    provisioner: NodeProvisioner,
) -> None:
    pauses = watching(provisioner).networking.error_backoffs
    assert isinstance(pauses, Patience)
    tries = list(islice(pauses, AN_HOUR_OF_TRIES))
    assert len(tries) == AN_HOUR_OF_TRIES
    assert tries == sorted(tries)
    assert tries[-1] < 10, "an API server that is back is heard within ten seconds"


def test_each_request_begins_with_short_pauses() -> None:
    pauses = Patience()
    assert [*islice(pauses, 3)] == [*islice(pauses, 3)] == [1.0, 1.0, 2.0]


async def test_no_record_of_an_object_is_kept() -> None:
    memories = Forgetful()
    seen: Any = {"metadata": {"uid": "u", "name": "mistral"}}
    record = await memories.recall(seen, noticed_by_listing=True, memobase={"of": "all"})
    assert record.noticed_by_listing
    assert [*memories.iter_all_memories()] == []
    await memories.forget(seen)
