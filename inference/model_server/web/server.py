"""
Run the server from the open port to the exit code.

    port opens ──> load (in a thread) ──> first token ──> serve ──> SIGTERM ──> drain ──> exit 0
                       │                      │              │
                       └── bad start: exit 1 ─┘              ├── engine dead or silent: exit 70
                                                             └── device lost: exit 71

The port is open from the beginning, so that whoever waits can ask for what. A drain keeps it open
too: open answers finish, new requests and `/ready` get 503. An engine that died cannot come back in
this process (a broken CUDA context stays broken), so the process ends and is started anew.

Must not import torch or transformers: how a model is loaded is passed in.
"""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from types import FrameType
from typing import TypeVar

import uvicorn
from starlette.types import ASGIApp

from model_server.api.lifecycle import Lifecycle, Phase
from model_server.api.service import DEAD_SECONDS, ServedModel, Service
from model_server.engine.request import Request, SamplingParameters
from model_server.settings import BadStart
from model_server.web.connection import GuardedConnection
from model_server.web.probe_server import ProbeServer
from model_server.web.uvicorn_config import LAST_BYTES_SECONDS, Wire, configuration

logger = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_BAD_START = 1
EXIT_ENGINE_DIED = 70  # EX_SOFTWARE of sysexits.h
EXIT_DEVICE_LOST = 71  # EX_OSERR: a GPU that fails again on a new process wants another node

WATCH_SECONDS = 0.5

Load = Callable[[Lifecycle], ServedModel]  # runs in a thread; raises BadStart


class DeviceLost(Exception):
    """Report a device that will not compute again in this process."""

    def __init__(self) -> None:
        """Say it in one sentence."""
        super().__init__("the device failed and will not compute again; the log has its error")


class _Uvicorn(uvicorn.Server):
    """Pass signals on instead of closing the port at once."""

    def __init__(self, config: uvicorn.Config, on_signal: Callable[[int], None]) -> None:
        super().__init__(config)
        self._on_signal = on_signal

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a signal handler's form
        self._on_signal(sig)


class ModelServer:
    """Bring one model up, watch it, and end."""

    def __init__(
        self,
        app: ASGIApp,
        service: Service,
        load: Load,
        *,
        drain_seconds: float,
        wire: Wire | None = None,
        probes: ProbeServer | None = None,
    ) -> None:
        """Keep the parts; nothing runs before `run`."""
        self._service = service
        self._load = load
        self._drain_seconds = drain_seconds
        self._exit_code = EXIT_OK
        self._drain_asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wire = wire or Wire()
        self._probes = probes
        config = configuration(app, self._wire)
        self._uvicorn = _Uvicorn(config, self._on_signal)

    @property
    def failure(self) -> str | None:
        """Return why the server ended, if it did not end well."""
        return self._service.lifecycle.now().error if self._exit_code else None

    async def run(self, listener: socket.socket) -> int:
        """Serve on an open socket until a signal or a failure; return the exit code."""
        self._loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(self._live()), asyncio.create_task(self._show_life())]
        if self._wire.certificate is not None:
            tasks.append(asyncio.create_task(self._wire.certificate.keep_fresh()))
        if self._probes is not None:
            self._probes.start()
        try:
            await self._uvicorn.serve(sockets=[listener])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._probes is not None:
                await self._probes.stop()
        return self._exit_code

    def drain(self) -> None:
        """Begin to end: what SIGTERM does. Asked a second time, do not wait for open answers."""
        if self._drain_asked.is_set():
            self._uvicorn.should_exit = True
        self._service.lifecycle.enter(Phase.DRAINING)
        self._drain_asked.set()

    def _on_signal(self, number: int) -> None:
        logger.info("signal", extra={"signal": signal.Signals(number).name})
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.drain)

    async def _live(self) -> None:
        try:
            await self._unless_draining(self._bring_up())
            if self._service.loaded is not None:
                await self._unless_draining(self._watch(self._service.loaded))
            await self._finish_open_answers()
        except BadStart as error:
            self._fail(EXIT_BAD_START, str(error))
        except DeviceLost as error:
            self._fail(EXIT_DEVICE_LOST, str(error))
        except Exception as error:
            # The boundary of the server's own tasks: whatever broke must end the process visibly.
            logger.exception("server_failed")
            code = EXIT_BAD_START if self._service.loaded is None else EXIT_ENGINE_DIED
            self._fail(code, f"{type(error).__name__}: {error}")
        finally:
            self._uvicorn.should_exit = True

    async def _unless_draining(self, work: Awaitable[None]) -> None:
        """Work until it is done or a drain is asked for."""
        working = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._drain_asked.wait())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            working.cancel()
            asked.cancel()
            await asyncio.gather(working, asked, return_exceptions=True)

    async def _bring_up(self) -> None:
        """Load the model and generate one token with it."""
        lifecycle = self._service.lifecycle
        loaded = await in_daemon_thread(lambda: self._load(lifecycle))
        lifecycle.enter(Phase.WARMING)
        loaded.engine.start()
        await first_token(loaded)
        self._service.loaded = loaded
        lifecycle.enter(Phase.READY)
        logger.info("ready", extra=lifecycle.now().seconds)

    async def _show_life(self) -> None:
        """Let the probes' thread see that this loop goes round."""
        while True:
            self._service.loop_is_alive()
            await asyncio.sleep(WATCH_SECONDS)

    async def _watch(self, loaded: ServedModel) -> None:
        """Look after the engine; return only by failing."""
        while loaded.engine.is_alive:
            silence = self._service.notice_stall()
            if silence > DEAD_SECONDS:
                self._fail(EXIT_ENGINE_DIED, f"the engine has been silent for {silence:.0f} s")
                return
            await asyncio.sleep(WATCH_SECONDS)
        if loaded.engine.has_lost_device:
            raise DeviceLost
        self._fail(EXIT_ENGINE_DIED, "the engine's thread has died; the log has the cause")

    async def _finish_open_answers(self) -> None:
        loaded = self._service.loaded
        if loaded is None or self._exit_code:
            return
        try:
            await asyncio.wait_for(self._service.idle(), self._drain_seconds)
        except TimeoutError:
            logger.warning("drain_ended", extra={"open_answers": self._service.open_answers})
        await loaded.engine.stop(0)
        try:
            await asyncio.wait_for(self._service.idle(), LAST_BYTES_SECONDS)
        except TimeoutError:
            # Whoever does not read now would be waited for by uvicorn, and cancelled with a trace.
            self._hang_up()
            await self._service.idle()

    def _hang_up(self) -> None:
        """Cut the connections whose clients do not take the end of their answers."""
        for connection in list(self._uvicorn.server_state.connections):
            if isinstance(connection, GuardedConnection):
                connection.transport.abort()

    def _fail(self, exit_code: int, reason: str) -> None:
        self._exit_code = exit_code
        self._service.lifecycle.fail(reason)
        logger.error("failed", extra={"reason": reason, "exit_code": exit_code})


async def first_token(loaded: ServedModel) -> None:
    """
    Generate one token the way requests do.

    Raises:
        BadStart: If none came.
        DeviceLost: If none came because the device failed for good.
    """
    prompt = await loaded.tokenizer.encode_text("Hello", limit=loaded.engine.longest_request)
    sampling = SamplingParameters(max_tokens=1, temperature=0.0, ignore_eos=True)
    request = Request(request_id="warm-up", prompt_ids=tuple(prompt), sampling=sampling)
    count, error = 0, None
    async for output in loaded.engine.generate(request):
        count += len(output.token_ids)
        error = output.error or error
    if loaded.engine.has_lost_device:
        raise DeviceLost
    if count == 0:
        raise BadStart(f"the model is loaded but generates nothing: {error or 'no token came'}")


Result = TypeVar("Result")


async def in_daemon_thread(work: Callable[[], Result]) -> Result:
    """Run work in a thread that does not keep the process alive: loading cannot be interrupted."""
    future: Future[Result] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again where it is awaited
            future.set_exception(error)

    threading.Thread(target=run, name="load", daemon=True).start()
    return await asyncio.wrap_future(future)
