"""A Workspace that is only to be planned: every figure, and nothing made."""

from dataclasses import replace

import pytest
from workspace_operator.api import Startup, WorkspaceStatus
from workspace_operator.changes import waits_for_consent
from workspace_operator.figures import read_figures
from workspace_operator.snapshot import Snapshot
from workspace_operator.status import report

from tests.builders import A100, BYO, SETTINGS, at, claim, node, planned, workspace

ONLY = {"atelier.dev/plan": "only"}
FIGURES = replace(
    SETTINGS,
    figures=read_figures(
        f'currency: USD\npricesPerHour: {{{A100}: "3.5", Standard_NV36ads_A10_v5: "3"}}\n'
        "expectedMinutes: {node_launched: 4, first_token: 0.5}\n"
    ),
)


def shown(snapshot: Snapshot | None = None, count: int = 1) -> WorkspaceStatus:
    made = workspace(annotations=ONLY, count=count)
    return report(made, planned(made, FIGURES), snapshot or Snapshot(), at(0))


def test_everything_is_said_and_the_phase_is_planned() -> None:
    status = shown(count=2)
    assert status.phase == "Planned"
    ready, fits = status.condition("Ready"), status.condition("PlanFits")
    assert ready
    assert fits
    assert (ready.status, ready.reason) == ("False", "PlanOnly")
    assert fits.status == "True"
    assert "leave room for 529,295 tokens" in fits.message
    plan = status.plan
    assert plan
    assert (plan.nodes, plan.gpus, plan.disk) == (2, 1, "50Gi")
    assert plan.price_per_hour == "7.00 USD"
    assert status.node_attempts == ()
    assert status.endpoint is None


def test_the_machines_to_choose_from_have_arithmetic_and_price_each() -> None:
    plan = shown().plan
    assert plan
    first, second, *_ = plan.options
    assert (first.instance_type, first.gpu, first.fits) == (A100, "A100-80GB", True)
    assert first.price_per_hour == "3.50 USD"
    assert second.instance_type == "Standard_NV36ads_A10_v5"
    assert "holds mistral-7b-instruct" in second.fit
    assert all(each.fits for each in plan.options)
    assert len(plan.options) <= 12


def test_minutes_are_measured_where_there_were_starts_else_declared_else_not_said() -> None:
    starts = tuple(Startup(node_launched=60.0 * n, gpu_visible=90.0) for n in (1, 2, 9))
    plan = shown(Snapshot(starts=starts)).plan
    assert plan
    said = {each.phase: (each.minutes, each.basis.split(":")[0]) for each in plan.expected}
    assert said == {
        "node_launched": (2.0, "measured"),
        "gpu_visible": (1.5, "measured"),
        "first_token": (0.5, "declared by the administrator"),
    }


def test_weights_that_are_fetched_take_disk_and_minutes_of_their_own() -> None:
    declared = read_figures("expectedMinutes: {weights_fetched: 3}")
    shown = {}
    for source in ("image", "fetch"):
        made = workspace(annotations=ONLY | {"atelier.dev/weights": source})
        plan = planned(made, replace(SETTINGS, figures=declared))
        found = report(made, plan, Snapshot(starts=(Startup(first_token=30),)), at(0)).plan
        assert found
        assert found.weights == source
        shown[source] = found.disk, [each.phase for each in found.expected]
    assert shown == {
        "image": ("50Gi", ["first_token"]),
        "fetch": ("78Gi", ["weights_fetched", "first_token"]),
    }


def test_a_choice_shows_the_range_of_prices_if_all_are_known() -> None:
    listed = ONLY | {"atelier.dev/instance-types": "Standard_NV36ads_A10_v5"}
    made = workspace(annotations=listed)
    assert planned(made, FIGURES).price_per_hour == "3.00 USD to 3.50 USD"
    unknown = workspace(annotations=ONLY | {"atelier.dev/instance-types": "Of_Tomorrow"})
    assert planned(unknown, FIGURES).price_per_hour is None


def test_own_nodes_are_planned_without_options_and_prices() -> None:
    made = workspace(instance_type=None, annotations=ONLY)
    plan = report(made, planned(made, BYO), Snapshot(), at(0)).plan
    assert plan
    assert (plan.options, plan.price_per_hour, plan.disk) == ((), None, None)


@pytest.mark.parametrize(
    ("annotations", "snapshot", "waits"),
    [
        (ONLY, Snapshot(), True),
        ({}, Snapshot(), False),
        (ONLY, Snapshot.parse(node_claims=[claim()]), False),
    ],
)
def test_machines_that_are_there_are_not_left_to_themselves(
    annotations: dict[str, str],
    snapshot: Snapshot,
    waits: bool,  # noqa: FBT001 - a row
) -> None:
    assert waits_for_consent(workspace(annotations=annotations), snapshot) is waits


def test_the_annotation_on_a_running_workspace_is_said_to_have_no_effect() -> None:
    status = shown(Snapshot.parse(node_claims=[claim()], nodes=[node()]))
    fits = status.condition("PlanFits")
    assert fits
    assert "has no effect: there are machines already" in fits.message
    assert status.phase != "Planned"


def test_a_plan_on_top_of_itself_changes_nothing() -> None:
    made = workspace(annotations=ONLY)
    first = report(made, planned(made, FIGURES), Snapshot(), at(0))
    again = made.model_copy(update={"status": first})
    assert report(again, planned(again, FIGURES), Snapshot(), at(60)) == first
