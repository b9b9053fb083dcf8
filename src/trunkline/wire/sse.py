"""Server-sent events: payloads out of network reads, and payloads into one write."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.errors import UpstreamError

DONE = b"[DONE]"
"""The payload that ends a stream in the OpenAI dialect."""

MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Parser:
    """Turns the reads of one event stream into its payloads, however the bytes were cut.

    Follows https://html.spec.whatwg.org/multipage/server-sent-events.html: lines end in LF, CRLF or
    CR, the data lines of an event are joined by LF, comments and an event cut off by the end of the
    stream are dropped. ``event``, ``id`` and ``retry`` are ignored: our dialects say it in the data.
    """

    __slots__ = ("_after_cr", "_at_start", "_data", "_held", "_line", "_max_bytes")

    def __init__(self, *, max_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._at_start = True
        self._after_cr = False
        self._line: list[bytes] = []  # the unfinished line, in the pieces it came in
        self._data: list[bytes] = []  # the finished data lines of the unfinished event
        self._held = 0

    def feed(self, read: bytes) -> list[bytes]:
        """Returns the payloads that this read completes.

        Raises UpstreamError once an unfinished event is longer than ``max_bytes``.
        """
        if read[:6] == b"data: " and read[-2:] == b"\n\n":  # perhaps one event, as models speak
            payload, pending = read[6:-2], self._line or self._data or self._after_cr
            if not pending and b"\n" not in payload and b"\r" not in payload:
                self._at_start = False
                return [payload]
        read = self._with_lf(read)
        self._held += len(read)
        payloads: list[bytes] = []
        if b"\n" not in read:
            self._line.append(read)
        else:
            payloads, rest = self._plain(b"".join((*self._line, read)) if self._line else read)
            self._line = []
            if rest:
                *lines, unfinished = rest.split(b"\n")
                self._line = [unfinished] if unfinished else []
                payloads += self._payloads(lines)
            if payloads or not self._data:
                self._held = sum(map(len, (*self._line, *self._data)))
        if self._held > self._max_bytes:
            raise UpstreamError(
                f"sent an event of more than {self._max_bytes} bytes", retryable=True
            )
        return payloads

    def _plain(self, text: bytes) -> tuple[list[bytes], bytes]:
        """Splits off the events of one ``data: `` line and nothing else: most streams have no others.

        Found all at once, they cost a tenth of what they cost line by line.
        """
        end = text.rfind(b"\n\n")
        if end < 0 or self._data or text[:6] != b"data: ":
            return [], text
        payloads = text[6:end].split(b"\n\ndata: ")
        if text.count(b"\n", 0, end) != 2 * (len(payloads) - 1):
            return [], text
        self._at_start = False
        return payloads, text[end + 2 :]

    def _with_lf(self, read: bytes) -> bytes:
        if self._after_cr:
            self._after_cr = not read
            read = read.removeprefix(b"\n")
        if b"\r" not in read:
            return read
        self._after_cr = read.endswith(b"\r")
        return read.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _payloads(self, lines: list[bytes]) -> list[bytes]:
        payloads = []
        data = self._data
        if self._at_start and lines:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        for line in lines:
            if line[:6] == b"data: ":
                data.append(line[6:])
            elif line:
                if line[:5] == b"data:":
                    data.append(line[5:])
                elif line == b"data":
                    data.append(b"")
            elif data:
                payloads.append(data[0] if len(data) == 1 else b"\n".join(data))
                data.clear()
        return payloads


def encode(payloads: Sequence[bytes]) -> bytes:
    """Returns one event per payload, all in one piece for one write.

    >>> encode([b'{"a":1}', DONE])
    b'data: {"a":1}\\n\\ndata: [DONE]\\n\\n'
    """
    if not payloads:
        return b""
    text = payloads[0] if len(payloads) == 1 else b"\n\ndata: ".join(payloads)
    if text.count(b"\n") != 2 * (len(payloads) - 1):
        text = b"\n\ndata: ".join([payload.replace(b"\n", b"\ndata: ") for payload in payloads])
    return b"data: %b\n\n" % text
