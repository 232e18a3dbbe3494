"""The table of situations: one row per cause that can be told apart."""

from tests.builders.situations import events, machines, pods, servers, weights
from tests.builders.situations.row import NOW, SERVES, SERVING, Row, told, world

__all__ = ["NOW", "ROWS", "SERVES", "SERVING", "Row", "told", "world"]

ROWS = [*machines.ROWS, *pods.ROWS, *events.ROWS, *servers.ROWS, *weights.ROWS]
