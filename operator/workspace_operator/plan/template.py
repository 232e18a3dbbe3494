"""
Read the few facts that matter out of a pod template of the user's own (`inference.template`).

What a template may hold is for the API server to say, which is asked before anything is bought; so
nothing here judges, and whatever is not what it should be counts as absent.

Must not import the other files of `plan`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Manifest = dict[str, Any]

# Device plugins name their resources so; a slice is nvidia.com/mig-1g.10gb.
GPU_PREFIX = "nvidia.com/"
GPU_RESOURCE = "nvidia.com/gpu"
HTTP_PORT_NAME = "http"


def containers(template: Mapping[str, Any]) -> tuple[Manifest, ...]:
    """Return the containers of a template, as far as they are any."""
    spec = template.get("spec")
    found = spec.get("containers") if isinstance(spec, dict) else None
    return _mappings(found)


def first_image(template: Mapping[str, Any]) -> str:
    """Return the image of the first container."""
    return next((str(each.get("image", "")) for each in containers(template)), "")


def served_port(template: Mapping[str, Any], otherwise: int) -> int:
    """Return the port that the Service leads to: the one named http, else the first declared."""
    declared = list(_ports(template))
    for name, number in declared:
        if name == HTTP_PORT_NAME:
            return number
    return declared[0][1] if declared else otherwise


def declared_ports(template: Mapping[str, Any]) -> tuple[int, ...]:
    """Return every port that a container declares."""
    return tuple(dict.fromkeys(number for _, number in _ports(template)))


def asked_gpus(template: Mapping[str, Any]) -> tuple[str, int] | None:
    """
    Return which GPU resource the containers ask for and how much of it; None where they do not.

    Zero is an answer: a pod that says `nvidia.com/gpu: 0` wants none, and is given none.
    """
    asked: dict[str, int] = {}
    for container in containers(template):
        for resource, amount in _resources(container).items():
            if resource.startswith(GPU_PREFIX):
                asked[resource] = asked.get(resource, 0) + amount
    if not asked:
        return None
    first = GPU_RESOURCE if GPU_RESOURCE in asked else next(iter(asked))
    return first, asked[first]


def _resources(container: Manifest) -> dict[str, int]:
    sections = container.get("resources")
    sections = sections if isinstance(sections, dict) else {}
    found: dict[str, int] = {}
    for part in ("requests", "limits"):
        amounts = sections.get(part)
        if isinstance(amounts, dict):
            found |= {str(name): _whole(amount) for name, amount in amounts.items()}
    return found


def _ports(template: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    for container in containers(template):
        for port in _mappings(container.get("ports")):
            number = port.get("containerPort")
            if isinstance(number, int) and not isinstance(number, bool):
                yield str(port.get("name", "")), number


def _whole(amount: object) -> int:
    text = str(amount)
    return int(text) if text.isascii() and text.isdigit() else 0


def _mappings(value: object) -> tuple[Manifest, ...]:
    return (
        tuple(each for each in value if isinstance(each, dict)) if isinstance(value, list) else ()
    )
