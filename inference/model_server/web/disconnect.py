"""
Stop working for a client that has left.

An ASGI server tells of a closed connection only to those who ask: once the body has been read, the
next message is the disconnect. A plain handler never asks, and would generate to the end for
nobody.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starlette.types import Receive


async def while_connected(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """
    Run the work, and cancel it when the client leaves.

    Args:
        receive: ASGI's receive, after the body has been read.
        work: What the client waits for; its exceptions pass through.

    Returns:
        Whether the work came to its end.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return False
        working.result()
        return True
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
