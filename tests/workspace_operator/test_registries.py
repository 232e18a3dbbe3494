"""Whom an image's name sends us to."""

import pytest
from workspace_operator.registries import port_of, registry_of


@pytest.mark.parametrize(
    ("image", "registry", "port"),
    [
        ("style", "docker.io", None),
        ("style:5000", "docker.io", None),
        ("team/style:1", "docker.io", None),
        ("r.example/team/style:1", "r.example", None),
        ("r.example:5443/style@sha256:00", "r.example:5443", 5443),
        ("registry:5000/style", "registry:5000", 5000),
        ("localhost/style", "localhost", None),
        ("[fd00::1]:5000/style", "[fd00::1]:5000", 5000),
        ("r.example:0/style", "r.example:0", None),
        ("r.example:70000/style", "r.example:70000", None),
    ],
)
def test_registry_and_port(image: str, registry: str, port: int | None) -> None:
    assert registry_of(image) == registry
    assert port_of(registry) == port
