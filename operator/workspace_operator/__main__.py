"""
Start the operator: `python -m workspace_operator`, inside a cluster or beside it.

The only file that reads the environment. What cannot work is said in one sentence, before anything
is touched; exit codes: 0 after a clean stop, 1 when the work had to end, 2 for a bad setting.
"""

import argparse
import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace

from model_presets.catalog import Catalog, load_catalog
from model_presets.preset import InvalidPreset

from workspace_operator import (
    lean_import,  # noqa: F401 - first, for its effect: what follows imports kopf and kubernetes
    logs,
)
from workspace_operator.claim_definition import StartOver
from workspace_operator.cluster.connection import NoCredentials
from workspace_operator.lease import LeaseLost
from workspace_operator.run import BadStart, run
from workspace_operator.settings import BadSetting, Settings, environment_table

logger = logging.getLogger("workspace_operator")

# Python's own is 700, which the JSON of a few objects reaches; docs/log.md has the figures.
NEW_OBJECTS_BEFORE_A_COLLECTION = 10_000

DESCRIPTION = (
    "Turn Workspaces into GPU nodes and model endpoints. Settings are environment variables."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operator and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m workspace_operator",
        description=DESCRIPTION,
        epilog=f"environment:\n{environment_table()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        settings = Settings.from_environment(os.environ)  # noqa: TID251 - the one place
        catalog = load_catalog(settings.preset_directory)
    except (BadSetting, InvalidPreset) as error:
        return _refuse(2, str(error))
    settings = replace(settings, pod_name=settings.pod_name or socket.gethostname())
    logs.configure(settings.log_level)
    collect_seldom()
    logger.info("starting", extra={"version": settings.version, "pod": settings.pod_name})
    try:
        while _again(settings, catalog):
            pass
    except (BadStart, LeaseLost, NoCredentials) as error:
        return _refuse(1, str(error))
    except OSError as error:
        return _refuse(1, f"cannot listen: {error}; see ATELIER_METRICS_PORT, ATELIER_HEALTH_PORT")
    return 0


def collect_seldom() -> None:
    """Look for garbage in cycles less often, and never among what was imported: it stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS_BEFORE_A_COLLECTION, *gc.get_threshold()[1:])


def _again(settings: Settings, catalog: Catalog) -> bool:
    """Run until told to stop, and say whether to start over with what the cluster has now."""
    try:
        asyncio.run(run(settings, catalog))
    except StartOver as news:
        logger.info("starting over", extra={"why": str(news)})
        return True
    return False


def _refuse(code: int, sentence: str) -> int:
    print(f"workspace_operator: {sentence}", file=sys.stderr)  # noqa: T201 - before logs exist
    return code


if __name__ == "__main__":
    sys.exit(main())
