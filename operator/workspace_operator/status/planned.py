"""
Report the plan: in short for a Workspace that runs, in full for one that is only to be planned.

How long a start takes is known from the starts of this preset in this cluster, of which the median
is taken; where there was none, from the administrator's word; else it is not said.

Must not import checks or the ladder.
"""

from statistics import median

from workspace_operator.api import ExpectedPhase, PlanOption, PlanStatus, Startup
from workspace_operator.api.weights import WeightsKind
from workspace_operator.figures import PHASES
from workspace_operator.plan import Plan
from workspace_operator.snapshot import Snapshot


def plan_status(
    plan: Plan, snapshot: Snapshot, *, found_type: str | None, full: bool
) -> PlanStatus:
    """Return what was worked out; `full` adds what only a user who has not bought needs."""
    short = PlanStatus(
        nodes=plan.node_count,
        gpus=plan.gpus_per_node,
        instance_type=plan.instance_type or found_type,
        candidates=plan.candidates,
        fit=plan.fit.sentence,
        kv_tokens=plan.fit.kv_tokens,
        price_per_hour=plan.price_per_hour,
    )
    if not full:
        return short
    return short.model_copy(
        update={
            "disk": f"{plan.disk_gib}Gi" if plan.candidates else None,
            "weights": plan.weights.text if plan.preset else None,
            "options": tuple(
                PlanOption(
                    instance_type=each.instance_type,
                    gpu=each.gpu,
                    gpus=each.gpus,
                    fits=each.fits,
                    fit=each.fit,
                    kv_tokens=each.kv_tokens,
                    price_per_hour=each.price_per_hour,
                )
                for each in plan.options
            ),
            "expected": tuple(
                phase for name in _phases(plan) if (phase := _expected(name, plan, snapshot.starts))
            ),
        }
    )


def _phases(plan: Plan) -> list[str]:
    """Return the phases of a start that this plan has."""
    fetches = plan.weights.kind is WeightsKind.FETCH
    return [each for each in PHASES if fetches or each != "weights_fetched"]


def _expected(phase: str, plan: Plan, starts: tuple[Startup, ...]) -> ExpectedPhase | None:
    seconds = [took for start in starts if (took := getattr(start, phase)) is not None]
    if seconds:
        times = "start" if len(seconds) == 1 else "starts"
        return ExpectedPhase(
            phase=phase,
            minutes=round(median(seconds) / 60, 1),
            basis=f"measured: median of {len(seconds)} {times} of this preset in this cluster",
        )
    declared = plan.expected_minutes.get(phase)
    if declared is None:
        return None
    return ExpectedPhase(
        phase=phase, minutes=float(declared), basis="declared by the administrator"
    )
