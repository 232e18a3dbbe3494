"""Run `python -m tests.scan CHECKOV`: review everything, print what was found, exit 1 for that."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from tests.scan.alert_rules import try_alerts
from tests.scan.exceptions import EXCEPTIONS
from tests.scan.scanners import Verdict, checkov, kube_score
from tests.scan.subjects import subjects


def main(program: Path) -> int:
    """Scan, tell, and return the exit status."""
    excepted = {name: number for number, each in enumerate(EXCEPTIONS, 1) for name in each.names}
    unused = dict(excepted)
    bad = 0
    for subject, verdict in _verdicts(program):
        bad += _tell(subject, verdict, excepted)
        for finding in verdict.findings:
            unused.pop(finding.name, None)
    with tempfile.TemporaryDirectory() as folder:
        objections = try_alerts(Path(folder))
    print(f"promtool: alerts and panels, {len(objections)} failed", *objections, sep="\n  ")
    for name in unused:
        print(f"exception {name}: nothing finds it any more; take it out of exceptions.py")
    for number, each in enumerate(EXCEPTIONS, 1):
        print(f"exception {number}: {', '.join(sorted(each.names))}. {each.why}")
    return 1 if bad or unused or objections else 0


def _verdicts(program: Path) -> Iterator[tuple[str, Verdict]]:
    """Let both scanners see every subject, each as a file of its own, two at a time."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(max_workers=2) as pool:
        asked = []
        for number, (subject, manifests) in enumerate(subjects().items()):
            path = Path(folder) / f"{number}.yaml"
            path.write_text(yaml.safe_dump_all(manifests))
            asked.append((f"checkov: {subject}", pool.submit(checkov, program, path)))
            asked.append((f"kube-score: {subject}", pool.submit(kube_score, path)))
        for subject, verdict in asked:
            yield subject, verdict.result()


def _tell(subject: str, verdict: Verdict, excepted: dict[str, int]) -> int:
    mine = [finding for finding in verdict.findings if finding.name not in excepted]
    known = sorted({excepted[each.name] for each in verdict.findings if each.name in excepted})
    note = f", exceptions {known}" if known else ""
    print(f"{subject}: {verdict.passed} passed, {len(mine)} failed{note}")
    for finding in mine:
        print(f"  {finding}")
    return len(mine)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.scan", description=__doc__)
    parser.add_argument("checkov", type=Path, help="checkov's program; `make scan` installs it")
    sys.exit(main(parser.parse_args().checkov))
