"""
Check the static rules over a table, which tests/apiserver puts to the API server as well.
"""

import pytest
from workspace_operator.api import InvalidSpec, parse

from tests.workspaces import BAD, GOOD, Bad
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


@pytest.mark.parametrize("url", ["https://10.example.com/", "https://[2001:db8::1]/a", "http://a"])
def test_an_address_that_only_looks_local_is_let_pass(url: str) -> None:
    body = {**GOOD["tuning"], "tuning": {**GOOD["tuning"]["tuning"], "input": {"urls": [url]}}}

    assert parse(body).tuning is not None
