"""
Talk to the API server; nothing else in the operator does.

`port.py` says what the rest of the operator may ask and which errors it may get, `kinds.py` where
each kind lives, `connection.py` how one request is sent, `api_server.py` joins them. Only
`connection.py` imports the Kubernetes client (docs/adr/0002-kubernetes-client.md).
"""

from workspace_operator.cluster.api_server import ApiServer
from workspace_operator.cluster.connection import Connection
from workspace_operator.cluster.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    Throttled,
    Unreachable,
)
from workspace_operator.cluster.kinds import KINDS, Kind, Manifest
from workspace_operator.cluster.port import Cluster, find_all

__all__ = [
    "KINDS",
    "ApiServer",
    "Cluster",
    "ClusterError",
    "Conflict",
    "Connection",
    "Forbidden",
    "Gone",
    "Invalid",
    "Kind",
    "Manifest",
    "Throttled",
    "Unreachable",
    "find_all",
]
