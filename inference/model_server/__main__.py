"""
Start the server from a command line: `python -m model_server --model DIR`.

The one place that reads the environment and that ends the process. Exit codes: 0 after a drain, 1
for a bad start, 70 for an engine that died, 71 for a lost device; for all but the first a sentence
goes to stderr and, in a pod, to the termination message that `kubectl describe pod` shows.
"""

import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import uvloop

from model_server import logs
from model_server.api.lifecycle import Lifecycle
from model_server.api.metrics import Metrics
from model_server.api.service import AnswerLimits, Service
from model_server.command_line import parse
from model_server.compute.processors import spin_shortly
from model_server.settings import BadStart, Settings
from model_server.startup import find_preset, identity_of, load, names_of
from model_server.web.api_keys import ApiKeys
from model_server.web.app import build_app, build_probe_app
from model_server.web.probe_server import ProbeServer
from model_server.web.server import EXIT_BAD_START, EXIT_OK, ModelServer
from model_server.web.tls import Certificate
from model_server.web.uvicorn_config import Wire

# Source: https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
TERMINATION_LOG = Path("/dev/termination-log")
BACKLOG = 512


def main() -> int:
    """Run until a signal or a failure; return the exit code."""
    # Process 1 of a container has no default handler: this one ends it until the server's own.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(EXIT_OK))
    spin_shortly(os.environ)  # noqa: TID251 - this is __main__, and torch is not loaded yet
    try:
        settings = parse(sys.argv[1:], os.environ)  # noqa: TID251 - the same
        logs.configure()
        return uvloop.run(serve(settings, listen(settings.host, settings.port)))
    except BadStart as error:
        tell(str(error))
        return EXIT_BAD_START


def listen(host: str, port: int) -> socket.socket:
    """
    Open a port.

    Raises:
        BadStart: If it cannot be opened.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = error.strerror or error
        raise BadStart(f"cannot listen on {host} port {port}: {reason}") from error


async def serve(settings: Settings, listener: socket.socket) -> int:
    """
    Put the parts together and run them.

    Raises:
        BadStart: If a setting names a preset, a file or a port that cannot be used.
    """
    preset = find_preset(settings)
    names = names_of(settings, preset)
    lifecycle = Lifecycle(identity_of(names))
    limits = AnswerLimits(
        first_token_seconds=settings.first_token_seconds, answer_seconds=settings.answer_seconds
    )
    service = Service(names, lifecycle, Metrics(names.primary, names.adapters), limits)
    keys = ApiKeys(settings.api_keys) if settings.api_keys else None
    server = ModelServer(
        build_app(service, keys=keys, cors_origins=settings.cors_origins),
        service,
        partial(load, settings, preset),
        drain_seconds=settings.drain_seconds,
        wire=Wire(certificate=_certificate(settings)),
        probes=_probes(settings, service),
    )
    host, port = listener.getsockname()[:2]
    logs.say("listening", host=host, port=port, model=str(settings.model), names=names.names)
    exit_code = await server.run(listener)
    if server.failure is not None:
        tell(server.failure)
    return exit_code


def _certificate(settings: Settings) -> Certificate | None:
    if settings.tls_certificate is None:
        return None
    return Certificate(settings.tls_certificate, settings.tls_key)


def _probes(settings: Settings, service: Service) -> ProbeServer | None:
    if settings.probe_port is None:
        return None
    listener = listen(settings.host, settings.probe_port)
    logs.say("probes_listening", port=listener.getsockname()[1])
    return ProbeServer(build_probe_app(service), listener)


def tell(sentence: str) -> None:
    """Write why the process ends to where people and the operator look."""
    line = " ".join(sentence.split())
    sys.stderr.write(f"model_server: {line}\n")
    if TERMINATION_LOG.is_file() and os.access(TERMINATION_LOG, os.W_OK):
        TERMINATION_LOG.write_text(f"{line}\n", encoding="utf-8")


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Not sys.exit: a thread may be deep in torch, and would be waited for or torn down half-way.
    os._exit(code)
