"""What a chat shows: the answer plain, all that is about it dimmed, failures in red.

Everything that a model or a server says passes `printable` on its way here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, Self

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from trunkline.terminal.conversation import Answer, call_text
from trunkline.terminal.events import Content, Event, Finished, Reasoning, ToolCall
from trunkline.terminal.printable import one_line, printable

_THOUGHT = Style(dim=True, italic=True)
_GUTTER = "│ "  # tells thoughts apart where the terminal shows no styles, and in what is copied
_ENDS = {
    "length": "cut: the reply reached its token limit",
    "content_filter": "cut by the provider's filter",
}


class Screen:
    """The terminal that a chat is shown on."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def note(self, text: str) -> None:
        self._console.print(Text(printable(text), style="dim"))

    def error(self, text: str) -> None:
        """Shows a failure on one line, however long."""
        self._console.print(Text(one_line(text), style="red"), soft_wrap=True)

    def list(self, rows: Iterable[tuple[str, str]]) -> None:
        """Shows names, each with what is to be said of it."""
        table = Table.grid(padding=(0, 2))
        table.add_column(overflow="fold")  # a name is never cut
        for name, meaning in rows:
            table.add_row(Text(one_line(name)), Text(one_line(meaning), style="dim"))
        self._console.print(table)

    def space(self) -> None:
        """Leaves a line free: a turn is over."""
        self._console.print()

    def answering(self) -> Page:
        """Returns a page for one answer, to be entered while it comes."""
        return Page(self._console)

    def status(self, answer: Answer, *, asked: str, elapsed_s: float) -> None:
        """Says how an answer ended, who gave it, its tokens, its speed and its cost.

        ``asked`` is the model's name if the server does not tell who answered. The speed counts from
        the question to the end, so the reading of the prompt too.
        """
        finished = answer.finished
        if finished is not None and finished.reason in _ENDS:
            self.note(_ENDS[finished.reason])
        if answer.calls:
            self.note("a chat has no tools to run: nobody answers this call")
        self.note(" · ".join(_facts(answer, asked, elapsed_s)))


class Page:
    """One answer on the screen: thoughts in a gutter, then the text. Shows a sign until either comes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._waiting = console.status("", spinner="dots", spinner_style="dim")
        self._kind: Literal["thought", "text"] | None = None
        self._line_begun = False

    def __enter__(self) -> Self:
        self._waiting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._waiting.stop()
        self._end_line()

    def show(self, event: Event) -> None:
        match event:
            case Reasoning(text):
                self._think(printable(text))
            case Content(text):
                self._say(printable(text))
            case ToolCall():
                self._begin("text")
                self._end_line()
                self._out(f"→ {one_line(call_text(event))}", Style(color="cyan"))
            case Finished():
                self._waiting.stop()

    def _think(self, text: str) -> None:
        self._begin("thought")
        for piece in text.splitlines(keepends=True):
            self._out(piece if self._line_begun else f"{_GUTTER}{piece}", _THOUGHT)

    def _say(self, text: str) -> None:
        if self._kind != "text":
            text = text.lstrip("\n")
        if text:
            self._begin("text")
            self._out(text)

    def _begin(self, kind: Literal["thought", "text"]) -> None:
        self._waiting.stop()
        if self._kind not in (None, kind):
            self._end_line()
            self._console.print()
        self._kind = kind

    def _end_line(self) -> None:
        if self._line_begun:
            self._out("\n")

    def _out(self, text: str, style: Style | None = None) -> None:
        self._console.out(text, style=style, highlight=False, end="")
        self._line_begun = not text.endswith("\n")


@contextmanager
def unechoed() -> Iterator[None]:
    """Keeps what is typed from being shown amid a reply; it waits for the next prompt."""
    try:
        import termios
    except ImportError:  # Windows shows it
        yield
        return
    before = termios.tcgetattr(0)
    changed = termios.tcgetattr(0)
    changed[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSADRAIN, changed)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _facts(answer: Answer, asked: str, elapsed_s: float) -> Iterator[str]:
    who = answer.answering
    yield one_line(who.model or asked)
    if who.provider:
        yield one_line(who.provider)
    if answer.finished is None:
        return
    if answer.finished.tokens is not None:
        read, written, thought = answer.finished.tokens
        thoughts = f" ({thought:,} reasoning)" if thought else ""
        yield f"{read:,} in, {written:,} out{thoughts}"
        yield f"{written / max(elapsed_s, 0.001):,.0f} tokens/s"
    if answer.finished.cost_usd:
        yield f"${answer.finished.cost_usd:f}"
