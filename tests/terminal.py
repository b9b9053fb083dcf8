"""A program on a terminal of its own: what it shows is read, and keys are typed."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ENTER, CTRL_C, CTRL_D, CTRL_J, ALT_ENTER, TAB, UP = (
    *("\r", "\x03", "\x04", "\n", "\x1b\r", "\t", "\x1b[A"),
)

_PATIENCE_S = 60.0
_PROMPTS = "\x1b[?2004h"  # prompt_toolkit asks for bracketed paste once keys are read one by one
_STEP = "\x1b[C"  # over a space that is there already
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_=>])|\r")
# The child takes the terminal that it is given, so that Ctrl-C reaches it as a signal.
_TAKE = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"


class Terminal:
    """What a program has shown so far, and its keyboard."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self._master = master
        self._raw = b""
        self._seen = 0  # characters of the raw output that were waited for

    @property
    def raw(self) -> str:
        """Everything shown, with its escape sequences."""
        return self._raw.decode(errors="replace")

    @property
    def text(self) -> str:
        """Everything shown, without them."""
        return _plain(self.raw)

    def wait_for_prompt(self) -> None:
        """Waits until the program reads the next line."""
        self._wait(lambda: _PROMPTS in self.raw[self._seen :], "a prompt")
        self._seen = self.raw.index(_PROMPTS, self._seen) + len(_PROMPTS)

    def wait_for(self, text: str) -> None:
        """Waits until this has been shown, since the last prompt that was waited for."""
        self._wait(lambda: text in _plain(self.raw[self._seen :]), repr(text))

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def enter(self, line: str) -> None:
        """Types a line at the prompt and waits for the next prompt."""
        self.type(line + ENTER)
        self.wait_for_prompt()

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        flags: int = termios.tcgetattr(self._master)[3]
        return bool(flags & termios.ECHO)

    def wait(self) -> int:
        """Waits for the program's end and returns its exit code."""
        deadline = time.monotonic() + _PATIENCE_S
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        return self.process.wait(0)

    def _wait(self, shown: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not shown():
            assert self.process.poll() is None, f"ended before {what}: {self.text}"
            assert time.monotonic() < deadline, f"not within {_PATIENCE_S} s: {what}: {self.text}"
            self._read(0.05)

    def _read(self, timeout_s: float) -> None:
        ready, _, _ = select.select([self._master], [], [], timeout_s)
        if ready:
            try:
                self._raw += os.read(self._master, 65_536)
            except OSError:  # Linux says so when nobody holds the other end any more
                time.sleep(timeout_s)


def _plain(raw: str) -> str:
    return _CONTROL.sub("", raw.replace(_STEP, " "))


@contextmanager
def on_terminal(*command: str, environment: Mapping[str, str], folder: Path) -> Iterator[Terminal]:
    """Runs a program on a new terminal; leaving kills what is left of it."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 200))
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKE, *command],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody answers where the cursor is
            **environment,
        },
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.wait()
        os.close(master)
