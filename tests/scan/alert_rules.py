"""
Have Prometheus' own promtool read the alert rules, and try them on invented series.

The panels of the dashboard are read the same way, as if each were a recording rule: a query that
Prometheus cannot parse would else be found by whoever looks at the dashboard.
"""

import json
import shutil
import subprocess
from pathlib import Path

import yaml

from tests.cluster import binary
from tests.installation import CHART

TRIALS = Path(__file__).with_name("alerts.test.yaml")
PROMTOOL_SECONDS = 60


def try_alerts(folder: Path) -> list[str]:
    """Return what promtool objects to; nothing where all is well."""
    shutil.copy(CHART / "files" / "alerts.yaml", folder)
    shutil.copy(TRIALS, folder)
    (folder / "panels.yaml").write_text(yaml.safe_dump(_panels()))
    return [
        *_promtool("check", "rules", folder / "alerts.yaml", folder / "panels.yaml"),
        *_promtool("test", "rules", folder / TRIALS.name),
    ]


def _panels() -> dict[str, object]:
    panels = json.loads((CHART / "files" / "dashboard.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    return {"groups": [{"name": "panels", "rules": rules}]}


def _promtool(*arguments: object) -> list[str]:
    done = subprocess.run(
        [binary("promtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PROMTOOL_SECONDS,
        check=False,
    )
    return [] if done.returncode == 0 else [done.stdout + done.stderr]
