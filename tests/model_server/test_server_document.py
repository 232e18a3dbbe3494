"""docs/server.md names every metric, error code, field and route that the server has."""

import re
from pathlib import Path

import pytest
from model_server.api import errors
from model_server.api.lifecycle import Lifecycle, ModelIdentity, Phase
from model_server.api.metrics import Metrics
from model_server.api.model_names import ModelNames
from model_server.api.service import Service
from model_server.web.app import build_app
from model_server.web.edge import PATHS

SOURCE = Path(errors.__file__).parent


@pytest.fixture(scope="module")
def document() -> str:
    return (Path(__file__).parents[2] / "docs" / "server.md").read_text(encoding="utf-8")


async def test_every_metric_is_documented(document: str) -> None:
    metrics = Metrics("tiny")
    service = Service(ModelNames.of(["tiny"]), Lifecycle(ModelIdentity(name="tiny")), metrics)
    build_app(service)
    names = {family.name for family in metrics.registry.collect()}
    missing = {name for name in names if name not in document and not name.startswith("process_")}
    assert len(names) > 15
    assert missing == set()


def test_every_error_code_is_documented(document: str) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in SOURCE.glob("*.py"))
    codes = set(re.findall(r'code ?= ?"([a-z_]+)"', source)) | {"stalled", "failed", "stopping"}
    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in document} == set()


def test_every_route_and_phase_is_documented(document: str) -> None:
    assert {path for path in PATHS if path not in document} == set()
    assert {phase for phase in Phase if f"`{phase.value}`" not in document} == set()
