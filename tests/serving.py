"""``trunkline serve`` as a process of its own, for tests that look at it from outside.

``running`` starts one with the configuration a test wants; the fixture ``server`` is one that all
tests of a process share. ``tests/conftest.py`` imports the fixtures.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.simulator import Simulator

NANO = "trunkline/gpt-oss-nano"
"""The embedded engine's model."""

ECHO = "sim/echo"
"""The model that the shared server's simulated provider answers well."""

EMBED = "sim/embed"
"""Its embedding model."""

_START_S = 60.0
_STOP_S = 40.0
_PATIENCE_S = 20.0
_SERVES = re.compile(r"serves (http://\S+)/v1")
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH")


@dataclass(slots=True)
class Serving:
    """One ``trunkline serve``; ``home`` is its TRUNKLINE_HOME and its working folder."""

    process: subprocess.Popen[bytes]
    home: Path
    logs: Path

    @property
    def url(self) -> str:
        """The address without ``/v1``. Only after the banner."""
        found = _SERVES.search(self.stdout())
        assert found, "no banner yet"
        return found[1]

    @property
    def base_url(self) -> str:
        """What clients are configured with. Only after the banner."""
        return f"{self.url}/v1"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def key(self) -> str:
        """The first key, as the home folder keeps it."""
        return (self.home / "key").read_text().strip()

    def stdout(self) -> str:
        """Everything written so far: the banner."""
        return (self.logs / "stdout").read_text()

    def stderr(self) -> str:
        """Everything written so far: the log, one JSON object a line."""
        return (self.logs / "stderr").read_text()

    def log(self) -> list[dict[str, Any]]:
        """The log's events so far; a line that is being written is left out."""
        *lines, _ = self.stderr().split("\n")
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_for_banner(self, *, timeout_s: float = _START_S) -> None:
        """Waits until the banner is printed. Raises AssertionError if the process ends before."""
        deadline = time.monotonic() + timeout_s
        while not _SERVES.search(self.stdout()):
            ended = self.process.poll()
            assert ended is None, f"serve ended with {ended}: {self.stderr()}"
            assert time.monotonic() < deadline, f"no banner in {timeout_s} s: {self.stderr()}"
            time.sleep(0.01)

    def stop(self, number: int = signal.SIGTERM, *, timeout_s: float = _STOP_S) -> int:
        """Sends the signal and returns the exit code; a process that has ended already is fine."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


@contextmanager
def launched(
    *,
    config: str = "",
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Iterator[Serving]:
    """Starts ``trunkline serve --port 0`` without waiting for it; leaving ends it.

    ``config`` is the text of a configuration file, ``flags`` come after ``--port 0``. Nothing of the
    caller's environment that could change it is inherited. Without ``home`` it gets a new one.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trunkline-test-")))
        home = home or folder / "home"
        home.mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-m", "trunkline", "serve", "--port", "0", *flags]
        if config:
            file = folder / "test.toml"
            file.touch(mode=0o600)
            file.write_text(config)
            command += ["--config", str(file)]
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        process = subprocess.Popen(
            command,
            cwd=home,
            env={
                **inherited,
                "HOME": str(home),
                "TRUNKLINE_HOME": str(home),
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=stack.enter_context((folder / "stdout").open("wb")),
            stderr=stack.enter_context((folder / "stderr").open("wb")),
        )
        try:
            yield Serving(process, home, folder)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@contextmanager
def running(
    *,
    config: str = "",
    flags: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    home: Path | None = None,
) -> Iterator[Serving]:
    """Starts ``trunkline serve`` like ``launched`` and enters once it takes requests."""
    with launched(config=config, flags=flags, environment=environment, home=home) as serving:
        serving.wait_for_banner()
        yield serving


def simulated_provider(base_url: str, *models: str, name: str = "sim") -> str:
    """Returns the configuration of a provider whose models cost 1 USD in and 2 USD out per 1M."""
    lines = [f"[providers.{name}]", f'base_url = "{base_url}"', 'api_key = "sk-simulated"']
    lines += [f'models."{model}" = {{ input = 1.0, output = 2.0 }}' for model in models]
    return "\n".join(lines) + "\n"


def until(condition: Callable[[], bool], *, timeout_s: float = _PATIENCE_S) -> None:
    """Waits for a condition that nothing announces. Raises AssertionError if it does not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"nothing came in {timeout_s} s"
        time.sleep(0.01)


@pytest.fixture(scope="session")
def server(running_simulator: Simulator) -> Iterator[Serving]:
    """One server for all tests of this process: the embedded engine, and the provider ``sim``.

    The provider's models are what the simulator scripts by name; do not stop or overload it.
    """
    models = (
        *(ECHO, "sim/error-429", "sim/error-500", "sim/late-error-3", "sim/cut-3", "sim/silent"),
        "sim/paced-20ms",
    )
    embedding = f'models."{EMBED}" = {{ kind = "embedding", input = 0.5, dimensions = 8 }}\n'
    config = simulated_provider(running_simulator.base_url, *models) + embedding
    with running(config=config) as serving:
        yield serving
        assert serving.stop() == 0
        assert "Traceback" not in serving.stderr()
