"""
Check the static rules over a table, which tests/apiserver puts to the API server as well.
"""

import pytest
from workspace_operator.api import InvalidSpec, parse

from tests.workspaces import BAD, GOOD, JUDGED, Bad, Judged
from tests.workspaces.good import Manifest


@pytest.mark.parametrize("manifest", GOOD.values(), ids=GOOD.keys())
def test_a_good_workspace_is_parsed(manifest: Manifest) -> None:
    assert parse(manifest).name == manifest["metadata"]["name"]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_workspace_is_told_the_field_and_the_remedy(bad: Bad) -> None:
    with pytest.raises(InvalidSpec) as caught:
        parse(bad.manifest)

    assert caught.value.path == bad.path
    assert bad.says.lower() in caught.value.why.lower()


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_its_good_counterpart_is_parsed(bad: Bad) -> None:
    assert parse(bad.good).name == "mistral"


OURS = {
    name: each
    for name, each in JUDGED.items()
    if "atelier.dev/" in str(each.bad) and "atelier.dev/instance-types" not in str(each.bad)
}


@pytest.mark.parametrize("judged", OURS.values(), ids=OURS.keys())
def test_an_annotation_of_ours_that_no_policy_saw_is_refused(judged: Judged) -> None:
    """It decides about money; KAITO's annotations are notes of the plan instead."""
    with pytest.raises(InvalidSpec) as caught:
        parse(judged.bad)

    assert caught.value.path.startswith(judged.field.partition("*")[0])
    assert judged.says.replace('"', "'") in caught.value.why.replace('"', "'")
    assert parse(judged.good).name


@pytest.mark.parametrize("url", ["https://10.example.com/", "https://[2001:db8::1]/a", "http://a"])
def test_an_address_that_only_looks_local_is_let_pass(url: str) -> None:
    body = {**GOOD["tuning"], "tuning": {**GOOD["tuning"]["tuning"], "input": {"urls": [url]}}}

    assert parse(body).tuning is not None
