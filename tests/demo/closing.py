"""Put what the line came to on one screen: the table, the ledger, the answer, the times."""

import json

from tests.demo.line import QUESTION, WORKSPACE, Outcome
from tests.demo.narration import Narration
from tests.demo.watching import Status

LEDGER = {
    "nodeLaunched": "node launched",
    "nodeRegistered": "node registered",
    "gpuVisible": "GPU visible",
    "imagePulled": "image pulled",
    "weightsLoaded": "weights loaded",
    "firstToken": "first token",
    "total": "total",
}


def ledger(status: Status) -> str:
    """Return the table of the seconds that each phase of the start took."""
    startup = status.get("startup") or {}
    rows = [
        f"  {words:<16}{startup[key]:8.1f} s" for key, words in LEDGER.items() if key in startup
    ]
    return "\n".join(rows)


def closing(outcome: Outcome, story: Narration) -> str:
    """Return everything that a person wants to see at the end."""
    plane = outcome.cluster.plane
    table = plane.kubectl("get", "workspace", WORKSPACE, "-o", "wide").stdout.rstrip()
    pod = plane.kubectl("get", "pods", "-o", "wide").stdout.rstrip()
    return f"""
$ kubectl get workspace {WORKSPACE} -o wide
{table}

$ kubectl get pods -o wide
{pod}

How long the start took, by status.startup:
{ledger(outcome.status)}

You:   {QUESTION}
Model: {outcome.answer.text.strip()}

{json.dumps(outcome.answer.body)}

The steps:
{story.summary()}

The cluster is still running:
  export KUBECONFIG={plane.kubeconfig}
  kubectl get workspace {WORKSPACE} -o wide --watch
  make demo-down        # leaves nothing but the cache"""
