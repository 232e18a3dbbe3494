"""
Run one scanner over one file of manifests, and give its verdict in a common form.

Neither may reach the network: checkov would fetch texts from its maker, and is told not to.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import binary

SCAN_SECONDS = 300
KUBERNETES = "v1.35"
CRITICAL = 1  # kube-score: 10 is fine, 7 almost, 5 a warning, 1 critical


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Hold one objection."""

    scanner: str
    name: str
    about: str

    def __str__(self) -> str:
        """Show it on one line."""
        return f"{self.scanner}: {self.name}: {self.about}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Hold what a scanner said of one file."""

    passed: int
    findings: tuple[Finding, ...]


def checkov(program: Path, manifests: Path) -> Verdict:
    """Ask checkov, with every check that it has for Kubernetes."""
    output = _run(
        *(program, "--file", manifests, "--framework", "kubernetes", "--skip-download"),
        *("--compact", "--quiet", "--output", "json"),
    )
    report = json.loads(output)
    return Verdict(
        passed=report["summary"]["passed"],
        findings=tuple(
            Finding(
                scanner="checkov",
                name=found["check_id"],
                about=f"{found['check_name']} ({found['resource']})",
            )
            for found in report["results"]["failed_checks"]
        ),
    )


def kube_score(manifests: Path) -> Verdict:
    """Ask kube-score for what it calls critical; the annotations that silence it are not heard."""
    output = _run(
        *(binary("kube-score"), "score", manifests, "--output-format", "json"),
        *("--kubernetes-version", KUBERNETES, "--disable-ignore-checks-annotations"),
    )
    objects = json.loads(output)
    checks = [check for each in objects for check in each["checks"] if not check["skipped"]]
    return Verdict(
        passed=sum(check["grade"] > CRITICAL for check in checks),
        findings=tuple(_critical(objects)),
    )


def _critical(objects: list[dict[str, Any]]) -> Iterator[Finding]:
    for each in objects:
        for check in each["checks"]:
            if check["skipped"] or check["grade"] > CRITICAL:
                continue
            for comment in check["comments"] or [{"summary": check["check"]["name"]}]:
                yield Finding(
                    scanner="kube-score", name=comment["summary"], about=each["object_name"]
                )


def _run(*command: object) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=SCAN_SECONDS,
        check=False,  # both exit with 1 for findings
    )
    if not done.stdout.strip():
        raise RuntimeError(f"{command[0]} said nothing; on stderr: {done.stderr}")
    return done.stdout
