"""End a played server without a connection left behind."""

import asyncio

from aiohttp import web

# A connection that the kernel has accepted becomes one of the server's some turns of the loop
# later; a server that has ended by then would never close it.
ACCEPTED_SECONDS = 0.05


async def stop_listening(runner: web.AppRunner) -> None:
    """Close the door, let in who is on the threshold, and send everybody away."""
    for site in tuple(runner.sites):
        await site.stop()
    await asyncio.sleep(ACCEPTED_SECONDS)
    await runner.cleanup()
