"""What the child process does: a PDF in on stdin, its text out on stdout, within limits of the system."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    import pypdf

Reason = Literal["encrypted", "pages", "length", "cost", "broken", "empty"]

_MAX_MEMORY_BYTES = 512 << 20
_MAX_CPU_S = 20
_MAX_STREAM_BYTES = 32 << 20  # of one stream, unpacked
_MAX_COMMANDS = 1_000_000  # of one page
_BETWEEN_PAGES = "\n\n"


class Found(msgspec.Struct, frozen=True, tag=True):
    """The text of a PDF."""

    text: str


class Unreadable(msgspec.Struct, frozen=True, tag=True):
    """Why there is none."""

    reason: Reason


def main() -> None:
    """Reads one PDF and ends. Arguments are the most pages and the most characters."""
    max_pages, max_chars = map(int, sys.argv[1:])
    answer = read(sys.stdin.buffer.read(), max_pages=max_pages, max_chars=max_chars)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def read(data: bytes, *, max_pages: int, max_chars: int) -> Found | Unreadable:
    """Returns the text of a PDF; from now on this process has little time and memory."""
    import pypdf

    _limit()
    pypdf.overwrite_configuration(
        zlib_maximum_output_length=_MAX_STREAM_BYTES,
        lzw_maximum_output_length=_MAX_STREAM_BYTES,
        run_length_maximum_output_length=_MAX_STREAM_BYTES,
        array_based_stream_maximum_output_length=_MAX_STREAM_BYTES,
        stream_parsing_work_maximum_count=_MAX_COMMANDS,
        jbig2dec_binary=None,  # no program is run
        disable_legacy_handling=True,
    )
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return Unreadable("encrypted")
        if len(reader.pages) > max_pages:
            return Unreadable("pages")
        return _text(reader, max_chars)
    except (pypdf.errors.LimitReachedError, MemoryError):
        return Unreadable("cost")
    except Exception:  # noqa: BLE001  # whatever a reader of broken files stumbles over
        return Unreadable("broken")


def _text(reader: pypdf.PdfReader, max_chars: int) -> Found | Unreadable:
    pages, length = [], 0
    for page in reader.pages:
        # Half characters and nulls, which neither JSON nor a database takes.
        text = page.extract_text().replace("\0", "").encode("utf-8", "replace").decode()
        length += len(text) + len(_BETWEEN_PAGES)
        if length - len(_BETWEEN_PAGES) > max_chars:
            return Unreadable("length")
        pages.append(text)
    whole = _BETWEEN_PAGES.join(pages)
    return Found(whole) if whole.strip() else Unreadable("empty")


def _limit() -> None:
    """Holds this process to its memory and time, keeps it from writing files, and lets others go first."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has none of it
        import resource

        os.nice(5)
        for what, most in (
            (resource.RLIMIT_AS, _MAX_MEMORY_BYTES),
            (resource.RLIMIT_CPU, _MAX_CPU_S),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(what, (most, most))
