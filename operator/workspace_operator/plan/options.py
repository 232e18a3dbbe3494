"""
Compare the machines that a Workspace could run on, for a user who wants to know before buying.

Shown are those that the Workspace asks for, and the smallest others of the cloud that hold the
model, each with the memory arithmetic and its price where the administrator gave one.

Must not import the other files of `plan` but hardware.
"""

from dataclasses import dataclass

from model_presets.preset import Preset

from workspace_operator.api import Workspace
from workspace_operator.instance_types import find
from workspace_operator.memory_fit import fitting_types, memory_fit
from workspace_operator.plan.hardware import asked_types
from workspace_operator.settings import Settings

MOST_OPTIONS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Hold one machine with its verdict; `fits` is none where its GPU is not known."""

    instance_type: str
    gpu: str | None
    gpus: int
    fits: bool | None
    fit: str
    kv_tokens: int | None
    price_per_hour: str | None


def options(
    workspace: Workspace, preset: Preset, settings: Settings, context: int | None
) -> tuple[Option, ...]:
    """Return the machines that come into question, those that were asked for first."""
    others = (each.name for each in fitting_types(preset, settings.cloud, context))
    names = tuple(dict.fromkeys([*asked_types(workspace), *others]))[:MOST_OPTIONS]
    adapters = len(workspace.inference.adapters) if workspace.inference else 0
    return tuple(_option(name, preset, settings, context, adapters) for name in names)


def price_per_hour(candidates: tuple[str, ...], count: int, settings: Settings) -> str | None:
    """Return what all nodes cost in an hour: a figure, or the range where several may be bought."""
    prices = settings.figures.prices_per_hour
    known = sorted((name for name in candidates if name in prices), key=lambda name: prices[name])
    if not known or len(known) < len(candidates):
        return None
    least, most = (settings.figures.price(name, count) for name in (known[0], known[-1]))
    return least if least == most else f"{least} to {most}"


def _option(
    name: str, preset: Preset, settings: Settings, context: int | None, adapters: int
) -> Option:
    machine = find(name)
    gpus = machine.gpu_count if machine else preset.gpu_count
    gpu = machine.gpu if machine else None
    fit = memory_fit(preset, gpu, gpus, settings.cloud, context, adapters=adapters)
    return Option(
        instance_type=name,
        gpu=machine.gpu.name if machine else None,
        gpus=gpus,
        fits=fit.fits,
        fit=fit.sentence,
        kv_tokens=fit.kv_tokens,
        price_per_hour=settings.figures.price(name),
    )
