"""
Answer probes on a port and a loop of their own.

The main loop may be busy for a moment with a thousand clients, and a probe that waits behind them
for seconds makes the kubelet kill a server that works. The thread here has a loop that serves
nothing else. So that it does not hide a main loop that hangs for good, that loop shows a sign of
life to `Service`, and health follows it as it follows the engine's thread.

Must not import torch or transformers.
"""

import asyncio
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from model_server.web.uvicorn_config import Wire, configuration

JOIN_SECONDS = 2.0


class ProbeServer:
    """Run one application in a thread until it is told to stop."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        """Take over an open socket; nothing runs before `start`."""
        self._listener = listener
        self._server = uvicorn.Server(configuration(app, Wire()))
        self._thread = threading.Thread(target=self._run, name="probes", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def stop(self) -> None:
        """Close the port; the thread is not waited for longer than a probe takes."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join, JOIN_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))
