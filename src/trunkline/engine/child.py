"""The child process: one llama.cpp server on a loopback port, for as long as its parent lives.

Protocol: the model's path is the only argument; the first line of stdin is a Parameters object
(JSON, so that the secret stands neither in the arguments nor in the environment); the only line on
stdout is a Ready or a Failed object; stderr is llama.cpp's log. The end of stdin ends the process.

Imports are few on purpose: this process should start fast and stay small.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any, BinaryIO

import msgspec

_ERRORS_AND_WARNINGS = 2  # llama.cpp's verbosity; 0 would hide errors as well
_CPU_BATCH = 512  # tokens between two looks at the queue; a larger batch gains nothing on a CPU
_PR_SET_PDEATHSIG = 1


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """How to run the engine. ``context`` is in tokens per slot, ``cache_mb`` in MiB."""

    secret: str
    slots: int
    context: int
    threads: int
    gpu_layers: int
    cache_mb: int


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded; ``address`` is the base URL that the engine answers on."""

    address: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The engine could not start."""

    error: str


def main() -> None:
    """Serves the model named by the first argument until stdin ends."""
    _outlive_signals_but_not_the_parent()
    report = _take_stdout()
    parameters = msgspec.json.decode(sys.stdin.buffer.readline(), type=Parameters)
    try:
        server = _load(sys.argv[1], parameters)
    except Exception as error:  # noqa: BLE001 - whatever the native library raises is reported
        _say(report, Failed(error=str(error) or type(error).__name__))
        os._exit(1)
    _say(report, Ready(address=server.listening_address))
    sys.stdin.buffer.read()
    os._exit(0)  # the server has no way to close and its threads would be waited for


def _outlive_signals_but_not_the_parent() -> None:
    """Leaves SIGINT and SIGTERM, which a terminal or init sends to whole groups, to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        # The end of stdin says the same, but not while a load is blocking the main thread, nor
        # where a sibling has inherited the pipe's other end.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _take_stdout() -> BinaryIO:
    """Returns stdout for ourselves and sends what native code prints there to stderr."""
    ours = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return ours


def _say(out: BinaryIO, message: Ready | Failed) -> None:
    out.write(msgspec.json.encode(message) + b"\n")
    out.flush()


def _load(path: str, parameters: Parameters) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.offline = True
    params.n_parallel = parameters.slots
    params.n_ctx = parameters.slots * parameters.context
    params.kv_unified = False
    params.ctx_shift = False
    params.fit_params = False
    params.warmup = False
    params.n_gpu_layers = parameters.gpu_layers
    params.cpuparams.n_threads = parameters.threads
    params.cpuparams_batch.n_threads = parameters.threads
    if not parameters.gpu_layers:
        params.n_batch = _CPU_BATCH
        params.n_ubatch = _CPU_BATCH
    params.cache_ram_mib = parameters.cache_mb
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [parameters.secret]
    params.cors_origins = ""
    params.cors_credentials = False
    params.ui = False
    params.endpoint_slots = True
    params.n_threads_http = (
        2 * parameters.slots + 8
    )  # each stream holds one; the watchdog must not wait
    params.sse_ping_interval = -1  # silence must look like silence
    params.verbosity = _ERRORS_AND_WARNINGS
    return xllamacpp.Server(params)
