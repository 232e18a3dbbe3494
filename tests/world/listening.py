"""
Play a server in a pod: an address of its own on this machine, and an end without a connection left.

Every address of 127.0.0.0/8 leads here, so that many pods listen on the same port at once.
"""

import asyncio
import ipaddress
import secrets
import socket

from aiohttp import web
from aiohttp.typedefs import Handler

PORT = 5000
# A connection that was accepted becomes one of the server's some turns of the loop later. asyncio
# forgets one whose server has closed by then, so first nobody else is accepted.
ACCEPTED_TURNS = 20


class Listener:
    """Answer on an address of one's own between `start` and `stop`."""

    def __init__(self, *routes: tuple[str, str, Handler]) -> None:
        """
        Choose an address.

        Args:
            routes: Method, path and what answers there.
        """
        self.address = str(ipaddress.IPv4Address("127.0.0.0") + 256 + secrets.randbelow(2**23))
        self._routes = routes
        self._runner: web.AppRunner | None = None
        self._door: socket.socket | None = None

    async def start(self) -> None:
        application = web.Application()
        for method, path, answer in self._routes:
            application.router.add_route(method, path, answer)
        self._runner = web.AppRunner(application, shutdown_timeout=0)
        await self._runner.setup()
        self._door = socket.create_server((self.address, PORT))
        await web.SockSite(self._runner, self._door).start()

    async def stop(self) -> None:
        """
        Close the door, let in who is on the threshold, and send everybody away.

        Whoever is cancelled meanwhile is so afterwards: a pod may end twice, by its deletion and
        with the world, and a door that is left open outlives both.
        """
        if self._runner is None:
            return
        closing = asyncio.ensure_future(self._close(self._runner))
        self._runner = None
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    async def _close(self, runner: web.AppRunner) -> None:
        door = self._door
        try:
            if door is not None:
                asyncio.get_running_loop().remove_reader(door.fileno())
                for _ in range(ACCEPTED_TURNS):
                    await asyncio.sleep(0)
            await runner.cleanup()
        finally:
            if door is not None:
                door.close()  # the site does not know it where its start was cut off
