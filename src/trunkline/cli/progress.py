"""How a pull shows its progress on stderr: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from trunkline.engine.size import size

if TYPE_CHECKING:
    import rich.progress

    from trunkline.engine.pull import Progress
    from trunkline.engine.weights import HubFile

_STEP_S = 15.0  # between two plain lines


@contextmanager
def shown() -> Iterator[Progress]:
    """Shows the progress of one pull."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    with _columns() as columns:
        yield _Bar(columns)


def _columns() -> rich.progress.Progress:
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True, highlight=False)
    console.width -= len("^C")  # which a terminal writes behind the bar: it must not wrap
    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.TaskProgressColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=console,
        expand=True,
    )


class _Bar:
    def __init__(self, columns: rich.progress.Progress) -> None:
        self._columns = columns
        self._task: rich.progress.TaskID | None = None

    def fetching(self, file: HubFile, have: int) -> None:
        if have:
            self._say(f"{file.name}: {size(have)} are here already")
        self._begin(f"fetching {file.name}", file, have)

    def checking(self, file: HubFile) -> None:
        self._begin(f"checking {file.name}", file, 0)

    def at(self, done: int) -> None:
        if self._task is not None:
            self._columns.update(self._task, completed=done)

    def waiting(self, why: str, delay_s: float) -> None:
        self._say(_hiccup(why, delay_s))

    def _begin(self, what: str, file: HubFile, done: int) -> None:
        self._task = self._columns.add_task(what, total=file.size_bytes, completed=done)

    def _say(self, line: str) -> None:
        self._columns.console.print(line, markup=False)


class _Lines:
    def __init__(self) -> None:
        self._what = ""
        self._total = 0
        self._begun = (0.0, 0)  # when, and with how many bytes
        self._due = 0.0

    def fetching(self, file: HubFile, have: int) -> None:
        here = f", {size(have)} are here already" if have else ""
        _print(f"fetching {file.name}, {size(file.size_bytes)}{here}")
        self._begin(file, have)

    def checking(self, file: HubFile) -> None:
        _print(f"checking {file.name}")
        self._begin(file, 0)

    def at(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._due:
            since, had = self._begun
            speed = (done - had) / (now - since)
            _print(
                f"{self._what}: {100 * done // self._total} %, {size(done)} of {size(self._total)}, "
                f"{size(speed)}/s"
            )
            self._due = now + _STEP_S

    def waiting(self, why: str, delay_s: float) -> None:
        _print(_hiccup(why, delay_s))

    def _begin(self, file: HubFile, done: int) -> None:
        now = time.monotonic()
        self._what, self._total, self._begun = file.name, file.size_bytes, (now, done)
        self._due = now + _STEP_S


def _hiccup(why: str, delay_s: float) -> str:
    return f"the hub: {why}; trying again in {delay_s:g} s"


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
