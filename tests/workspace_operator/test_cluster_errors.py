"""What an answer of the API server means to the caller, and where each kind lives."""

from typing import Any

import pytest
from workspace_operator.cluster.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Throttled,
    Unreachable,
    error_for,
)
from workspace_operator.cluster.kinds import (
    DEPLOYMENT,
    KINDS,
    NODE_CLAIM,
    POD,
    WORKSPACE,
    kind_of,
    path_of,
)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, Invalid),
        (401, Forbidden),
        (403, Forbidden),
        (404, Gone),
        (405, Invalid),
        (409, Conflict),
        (410, Unreachable),
        (415, Invalid),
        (422, Invalid),
        (429, Throttled),
        (500, Unreachable),
        (503, Unreachable),
        (504, Unreachable),
    ],
)
def test_each_code_means_one_error(code: int, kind: type[ClusterError]) -> None:
    error = error_for("GET /x", code, {"message": "why"}, None)
    assert type(error) is kind
    assert str(error).startswith("GET /x: ")
    assert "why" in str(error)


def test_a_read_that_is_refused_is_told_from_a_write() -> None:
    """An API server that has just started refuses every read until it knows the roles."""
    read, write = (error_for(f"{verb} /x", 403, {}, None) for verb in ("GET", "PATCH"))
    assert isinstance(read, Forbidden)
    assert isinstance(write, Forbidden)
    assert read.of_a_read
    assert not write.of_a_read


def test_an_answer_without_a_status_object_still_says_something() -> None:
    assert str(error_for("GET /x", 404, {}, None)) == "GET /x: HTTP 404"


def forbidden(status: dict[str, Any]) -> Forbidden:
    error = error_for("POST /x", 403, status, None)
    assert isinstance(error, Forbidden)
    return error


def test_quota_rbac_and_a_terminating_namespace_are_told_apart() -> None:
    terminating = {"details": {"causes": [{"reason": "NamespaceTerminating", "message": "…"}]}}
    assert forbidden(terminating).namespace_is_terminating
    assert not forbidden({"message": "exceeded quota: gpus"}).namespace_is_terminating
    assert not forbidden({"details": {"causes": None}}).credentials_are_stale
    stale = error_for("GET /x", 401, {"message": "Unauthorized"}, None)
    assert isinstance(stale, Forbidden)
    assert stale.credentials_are_stale


@pytest.mark.parametrize(("header", "seconds"), [("7", 7), (None, 1), ("soon", 1), ("²", 1)])
def test_the_server_says_when_to_come_back(header: str | None, seconds: float) -> None:
    error = error_for("GET /x", 429, {}, header)
    assert isinstance(error, Throttled)
    assert error.retry_after_seconds == seconds


def test_paths_are_those_of_the_api() -> None:
    assert WORKSPACE.path() == "/apis/kaito.sh/v1beta1/workspaces"
    assert DEPLOYMENT.path(namespace="a", name="b") == "/apis/apps/v1/namespaces/a/deployments/b"
    assert POD.path(namespace="a") == "/api/v1/namespaces/a/pods"
    assert NODE_CLAIM.path(namespace="ignored", name="b") == "/apis/karpenter.sh/v1/nodeclaims/b"


def test_a_name_cannot_leave_its_place_in_the_path() -> None:
    assert POD.path(namespace="a/b", name="../c") == "/api/v1/namespaces/a%2Fb/pods/..%2Fc"


def test_every_manifest_of_ours_finds_its_kind() -> None:
    for api_version, kind in KINDS:
        manifest = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}}
        assert kind_of(manifest).kind == kind
        assert path_of(manifest).endswith("/x")


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("failed to create typed patch object (a/x; apps/v1): .spec.foo: not declared", Invalid),
        ("failed to convert new object (a/x) to proper version: quantities must", Invalid),
        ("etcdserver: request timed out", Unreachable),
    ],
)
def test_a_manifest_of_the_wrong_shape_is_no_outage(message: str, kind: type[Exception]) -> None:
    assert type(error_for("PATCH /x", 500, {"message": message}, None)) is kind


@pytest.mark.parametrize(
    ("details", "gone"),
    [
        ({"name": "team", "kind": "namespaces"}, True),
        ({"name": "mistral", "group": "kaito.sh", "kind": "workspaces"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_namespace_that_is_not_there_is_told_from_an_object(
    details: dict[str, Any] | None, *, gone: bool
) -> None:
    error = error_for("POST /x", 404, {"message": "not found", "details": details}, None)
    assert isinstance(error, Gone)
    assert error.namespace_is_gone is gone
