"""
Do a release step by step: push, sign, attest, verify, and only then write the values.

A second run after a failure pushes the same bytes, which the registry has, and signs only what is
not signed yet.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from release.bill import bill_of_materials
from release.contents import ImageArchive, ReleaseError
from release.programs import Programs
from release.pushing import RELEASE_VALUES, push_chart, push_image
from release.signing import Signer, attest, sign, verify, verify_bill
from release.values import release_values


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Hold what is to be released.

    Attributes:
        registry: Where it goes.
        version: Tag of the images; the chart's own is in its Chart.yaml.
        images: Archives to push.
        chart: Folder of the chart.
        output: Folder for what the release leaves here.
    """

    registry: str
    version: str
    images: Sequence[ImageArchive]
    chart: Path
    output: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """
    Hold one thing that was pushed, signed and verified.

    Attributes:
        name: Its last name in the registry.
        reference: All of its name, by digest.
        bill: Whether its bill of materials was attested.
    """

    name: str
    reference: str
    bill: bool


def publish(plan: Plan, programs: Programs, by: Signer) -> list[Published]:
    """
    Release everything; return what the registry holds now.

    Raises:
        ReleaseError: at the first thing that failed; no values are written then.
    """
    with tempfile.TemporaryDirectory() as folder:
        bills = _bills(plan.images, Path(folder))
        digests: dict[str, str] = {}
        for image in plan.images:
            name = f"{plan.registry}/{image.name}"
            _say(f"push {name}:{plan.version}")
            digests[image.name] = push_image(programs, image, f"{name}:{plan.version}")
        published = [
            _signed(by, name, f"{plan.registry}/{name}@{digest}", bills)
            for name, digest in digests.items()
        ]
        values = release_values(plan.registry, digests)
        _say(f"push chart to {plan.registry}/charts")
        chart = push_chart(programs, plan.chart, plan.registry, values)
        name = f"charts/{plan.chart.name}"
        published.append(_signed(by, name, f"{plan.registry}/{name}@{chart}", bills))
    (plan.output / RELEASE_VALUES).write_text(values)
    (plan.output / "release.json").write_text(
        json.dumps([asdict(each) for each in published], indent=1) + "\n"
    )
    return published


def _bills(images: Sequence[ImageArchive], folder: Path) -> dict[str, Path]:
    """Find every bill before the first push: an image without one is no release."""
    bills = {}
    for image in images:
        bills[image.name] = folder / f"{image.name}.cdx.json"
        bills[image.name].write_bytes(bill_of_materials(image.path))
    return bills


def _signed(by: Signer, name: str, reference: str, bills: Mapping[str, Path]) -> Published:
    """Sign and attest what is not yet, and verify it as a user would."""
    _say(f"sign {reference}")
    if not _holds(verify, by, reference):
        sign(by, reference)
        verify(by, reference)
    bill = bills.get(name)
    if bill is not None and not _holds(verify_bill, by, reference):
        attest(by, reference, bill)
        verify_bill(by, reference)
    return Published(name=name, reference=reference, bill=bill is not None)


def _holds(check: Callable[[Signer, str], None], by: Signer, reference: str) -> bool:
    try:
        check(by, reference)
    except ReleaseError:
        return False
    return True


def _say(what: str) -> None:
    sys.stderr.write(f"release: {what}\n")
