"""``trunkline serve`` as a user starts it, in a home of its own, with a model in nano's place."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from trunkline.engine import model as engine_model
from trunkline.errors import StartError

_START_S = 120.0
_STOP_S = 40.0
_SERVES = re.compile(r"serves (http://\S+)/v1")
_SHA256 = re.compile(r"^sha256\s*=.*\n", re.MULTILINE)
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")
_ROOT = Path(__file__).parents[2]


class Server(msgspec.Struct, frozen=True):
    """Where clients find the router: what they are configured with."""

    base_url: str
    key: str
    model: str


class Candidate(msgspec.Struct, frozen=True):
    """The model file that is measured."""

    path: str
    sha256: str
    size_bytes: int
    vocabulary: int
    context: int


def candidate(path: Path | None) -> Candidate:
    """Returns the facts of a GGUF file, None being the built-in one. Raises StartError."""
    found = engine_model.open_file(path or engine_model.NANO)
    return Candidate(
        path=str(found.path),
        sha256=hashlib.sha256(found.path.read_bytes()).hexdigest(),
        size_bytes=found.size_bytes,
        vocabulary=found.vocabulary,
        context=found.context,
    )


@contextmanager
def serving(measured: Candidate) -> Iterator[Server]:
    """Starts the router on a free port of the loopback and enters once it takes requests.

    A file that is not the built-in one is served as if it were, with the card that lies beside it
    (same name, ``.toml``) or else the built-in card: what is measured is what would be shipped.
    Raises StartError if it does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="trunkline-nano-") as folder:
        model = _name(measured)
        home = Path(folder, "home")
        home.mkdir(mode=0o700)
        command = [*_program(measured, Path(folder)), "serve", "--host", "127.0.0.1", "--port", "0"]
        key = secrets.token_urlsafe(24)
        logs = Path(folder, "stdout"), Path(folder, "stderr")
        with logs[0].open("wb") as stdout, logs[1].open("wb") as stderr:
            process = subprocess.Popen(
                command,
                cwd=home,  # where no configuration lies
                env=_environment(home, key),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        try:
            url = _wait_for_banner(process, *logs)
            yield Server(base_url=f"{url}/v1", key=key, model=model)
        finally:
            _stop(process)


def _program(measured: Candidate, folder: Path) -> list[str]:
    if measured.path == str(engine_model.NANO):
        return [sys.executable, "-m", "trunkline"]
    stand_in = folder / engine_model.NANO.name
    shutil.copyfile(measured.path, stand_in)
    card = _SHA256.sub("", _card(measured).read_text(encoding="utf-8"))
    card = f'sha256 = "{measured.sha256}"\n{card}'
    stand_in.with_suffix(".toml").write_text(card, encoding="utf-8")
    return [sys.executable, "-m", "nano.evaluation.candidate", str(stand_in)]


def _card(measured: Candidate) -> Path:
    beside = Path(measured.path).with_suffix(".toml")
    return beside if beside.is_file() else engine_model.NANO.with_suffix(".toml")


def _name(measured: Candidate) -> str:
    card = _card(measured)
    try:
        return msgspec.toml.decode(card.read_bytes(), type=engine_model.ModelCard).name
    except msgspec.DecodeError as error:
        raise StartError(f"the model card {card} cannot be used: {error}") from error


def _environment(home: Path, key: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return {
        **inherited,
        "HOME": str(home),
        "PYTHONPATH": str(_ROOT),
        "TRUNKLINE_HOME": str(home),
        "TRUNKLINE_BOOTSTRAP_KEY": key,
    }


def _wait_for_banner(process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> str:
    deadline = time.monotonic() + _START_S
    while not (found := _SERVES.search(stdout.read_text(encoding="utf-8"))):
        if process.poll() is not None or time.monotonic() > deadline:
            last = stderr.read_text(encoding="utf-8").strip().rpartition("\n")[2]
            raise StartError(f"'trunkline serve' did not start: {last or 'no word from it'}")
        time.sleep(0.05)
    return found[1]


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
