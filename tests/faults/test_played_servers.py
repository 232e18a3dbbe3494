"""A played server leaves no open door, in whichever moment its pod ends, and however often."""

import asyncio
import socket

import pytest

from tests.world.listening import PORT, Listener

# More turns of the loop than a start or an end takes.
MOMENTS = 60


async def live(listener: Listener, started: asyncio.Event) -> None:
    """Be a pod: listen until it ends."""
    try:
        await listener.start()
        started.set()
        await asyncio.Event().wait()
    finally:
        await listener.stop()


async def turn(times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def ended(moment: int, *, while_it: str) -> Listener:
    """End a played server in a moment of its start, or once more in a moment of its end."""
    listener, started = Listener(), asyncio.Event()
    pod = asyncio.create_task(live(listener, started))
    if while_it == "ends":
        await started.wait()
        pod.cancel()
    await turn(moment)
    pod.cancel()
    await asyncio.wait([pod])
    return listener


@pytest.mark.parametrize("while_it", ["starts", "ends"])
async def test_whenever_it_ends_its_address_is_free_again(while_it: str) -> None:
    for moment in range(MOMENTS):
        listener = await ended(moment, while_it=while_it)
        with socket.create_server((listener.address, PORT)):
            pass
