"""The operator leaves out what it never uses of the Kubernetes client, and loses nothing by it."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.timeout(60)

SPARED = """
spared = {"kubernetes.client.api_client", "requests", "urllib3", "oauthlib", "websocket"}
assert not spared & set(sys.modules), spared & set(sys.modules)
"""


def run(program: str) -> None:
    line = [sys.executable, "-c", f"import sys\n{program}"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=50, check=False)  # noqa: S603 - our own program
    assert done.returncode == 0, done.stderr


def test_the_operator_spares_the_synchronous_client() -> None:
    run(f"import workspace_operator.__main__\n{SPARED}")


def test_what_is_used_is_the_real_one() -> None:
    run(
        "import workspace_operator.__main__\n"
        "import kubernetes.aio.client, kubernetes.aio.client.models\n"
        "from workspace_operator.cluster import connection\n"
        "assert kubernetes.aio.client.ApiClient is connection.ApiClient\n"
        "assert kubernetes.aio.client.V1ObjectMeta(name='x').name == 'x'\n"
    )


def test_where_the_client_is_there_already_nothing_changes() -> None:
    run(
        "import kubernetes\n"
        "import workspace_operator.__main__\n"
        "assert kubernetes.client.ApiClient and sys.modules['kubernetes.client']\n"
    )


def test_what_was_imported_is_left_out_of_every_collection() -> None:
    run(
        "import gc\n"
        "from workspace_operator.__main__ import collect_seldom\n"
        "collect_seldom()\n"
        "assert gc.get_freeze_count() > 10_000\n"
        "assert gc.isenabled() and gc.get_threshold() == (10_000, 10, 10)\n"
    )
