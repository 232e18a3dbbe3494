"""A rule meets the request that it names, once, and counts no other."""

import pytest

from tests.fault_table.table import BEGIN, END, Row, put_into, rows_of, summary
from tests.world.fault_rules import Asked, Kill, Rule, refusal, verb_of

ONE = "/apis/kaito.sh/v1beta1/namespaces/blue/workspaces/mistral"


@pytest.mark.parametrize(
    ("method", "path", "query", "verb"),
    [
        ("GET", ONE, "", "GET"),
        ("GET", "/apis/kaito.sh/v1beta1/namespaces/blue/workspaces", "limit=500", "LIST"),
        ("GET", "/apis/kaito.sh/v1beta1/workspaces", "watch=true", "WATCH"),
        ("GET", "/api/v1/nodes", "", "LIST"),
        ("GET", "/api/v1/nodes/one", "", "GET"),
        ("GET", "/api/v1/namespaces/blue", "", "GET"),
        ("PATCH", f"{ONE}/status", "", "PATCH"),
    ],
)
def test_reads_of_one_of_many_and_watches_are_told_apart(
    method: str, path: str, query: str, verb: str
) -> None:
    assert verb_of(method, path, query) == verb


def test_a_path_is_taken_apart() -> None:
    asked = Asked(verb="PATCH", path=f"{ONE}/status")
    assert (asked.namespace, asked.plural, asked.name) == ("blue", "workspaces", "mistral")
    asked = Asked(verb="DELETE", path="/apis/karpenter.sh/v1/nodeclaims/wsa")
    assert (asked.namespace, asked.plural, asked.name) == ("", "nodeclaims", "wsa")


def test_the_lease_is_no_write_of_a_reconcile() -> None:
    lease = "/apis/coordination.k8s.io/v1/namespaces/atelier-system/leases/atelier-operator"
    assert not Asked(verb="PUT", path=lease).is_write
    assert Asked(verb="PATCH", path=ONE).is_write
    assert not Asked(verb="LIST", path="/api/v1/nodes").is_write


def test_the_nth_request_that_is_picked_is_met_and_no_other() -> None:
    rule = Rule(action=Kill(), nth=2)
    write, read = Asked(verb="PATCH", path=ONE), Asked(verb="GET", path=ONE)
    assert [rule.meets(each) for each in (write, read, write, write)] == [False, False, True, False]
    assert (rule.seen, rule.done) == (3, 1)


def test_a_rule_without_a_number_meets_each() -> None:
    rule = Rule(action=refusal(429, "slow down", retry_after=3), picks=lambda _: True)
    assert all(rule.meets(Asked(verb="GET", path=ONE)) for _ in range(3))


ROW = Row(
    name="create",
    told="a Workspace is applied",
    writes=2,
    deaths=4,
    passed=3,
    seconds=(1.0, 2.0, 3.0, 14.0),
    objections={"create, killed before write 1": {"Q": ["PATCH"]}},
)


def test_the_table_stands_between_its_marks() -> None:
    page = put_into(f"before\n{BEGIN}\nold\n{END}\nafter\n", [ROW], "2 cores")
    assert page.startswith("before\n") and page.endswith("\nafter\n")  # noqa: PT018 - one page
    assert "old" not in page
    assert "| create: a Workspace is applied | 2 | 4 | 3 | 2.5 s | 14.0 s |" in page
    assert put_into(page, [ROW], "2 cores") == page, "written again it is the same"
    with pytest.raises(ValueError, match="needs the two lines"):
        put_into("no marks", [ROW], "2 cores")


def test_the_summary_does_not_hide_what_failed() -> None:
    told = summary([ROW], "2 cores")
    assert (told["kills"], told["passed"], told["worst_seconds"]) == (4, 3, 14.0)
    assert told["situations"]["create"]["objections"]
    assert rows_of([]) == []
