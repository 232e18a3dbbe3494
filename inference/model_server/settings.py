"""
Hold what a start was asked for, in values that need no second look.

`command_line` makes them from flags. Must not import torch, transformers, or anything that opens a
socket.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from model_server.adapter_choice import AdapterChoice

HOST = "0.0.0.0"  # noqa: S104 - a server in a pod is reached by the pod's address
PORT = 5000
MAX_SEQUENCES = 32
MAX_QUEUED = 128
DRAIN_SECONDS = 30.0
FIRST_TOKEN_SECONDS = 120.0
ANSWER_SECONDS = 900.0


class FastPaths(StrEnum):
    """Name the rungs of `forward`, each of which includes those before it."""

    OFF = "off"
    FUSED = "fused"
    KERNELS = "kernels"
    GRAPHS = "graphs"


FAST_PATHS = FastPaths.GRAPHS


class BadStart(Exception):
    """Report in one sentence why the server cannot start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    Say what to serve, where, and within which bounds.

    Attributes:
        model: Folder in the hub's layout.
        preset: Name of the preset in the catalog, where there is one.
        require_lock: Whether a folder without a lock file is refused.
        served_model_names: Names given by flags; they replace the preset's.
        adapters: LoRA adapters, at most ten.
        merge_adapters: Whether all of them are merged into the weights, for every request.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        probe_port: TCP port for probes alone, on a loop of its own; None for none.
        api_keys: File with one key per line, or folder of such files; None to ask for no key.
        tls_certificate: PEM file with the certificate and its chain; None for plain HTTP.
        tls_key: PEM file with the private key; None where the certificate's file has it.
        cors_origins: Origins whose pages a browser may let call; none by default.
        device: `auto`, `cpu` or `cuda`.
        dtype: `auto`, `bfloat16` or `float32`.
        fast_paths: How far the native engine goes beyond transformers' own forward.
        engine: `native`, or `reference` for transformers' own `generate`.
        max_model_len: Longest prompt and answer together, tokens; None for the model's own.
        max_sequences: Sequences that decode together.
        max_queued: Requests that may wait.
        first_token_seconds: How long a request may wait for its first token.
        answer_seconds: How long a whole answer may take.
        drain_seconds: How long SIGTERM waits for open answers.
    """

    model: Path
    preset: str | None = None
    require_lock: bool = False
    served_model_names: tuple[str, ...] = ()
    adapters: tuple[AdapterChoice, ...] = ()
    merge_adapters: bool = False
    host: str = HOST
    port: int = PORT
    probe_port: int | None = None
    api_keys: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    cors_origins: tuple[str, ...] = ()
    device: str = "auto"
    dtype: str = "auto"
    engine: str = "native"
    fast_paths: FastPaths = FAST_PATHS
    max_model_len: int | None = None
    max_sequences: int = MAX_SEQUENCES
    max_queued: int = MAX_QUEUED
    first_token_seconds: float = FIRST_TOKEN_SECONDS
    answer_seconds: float = ANSWER_SECONDS
    drain_seconds: float = DRAIN_SECONDS
