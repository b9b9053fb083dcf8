"""PDFs, each read by a child process.

A file that is made for it can take any time and memory, and only a process can be held to either.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress

import msgspec

from trunkline.errors import InvalidRequest, RateLimited
from trunkline.files.reading import Found, Reason, Unreadable
from trunkline.log import get_logger

_MAX_PAGES = 2000
_TIMEOUT_S = 45.0  # of a busy machine; the child allows itself 20 s of CPU
_TURN_TIMEOUT_S = 30.0
_MAX_CHILDREN = 2  # at a time: each may take a core
# The child reads what callers send: it gets none of the secrets in our environment.
_ENVIRONMENT = ("SYSTEMROOT", "PYTHON", "VIRTUAL_ENV", "LD_", "DYLD_")

log = get_logger()
_answer: msgspec.json.Decoder[Found | Unreadable] = msgspec.json.Decoder(Found | Unreadable)


class PDFs:
    """Reads PDFs, a few at a time."""

    def __init__(self, *, timeout_s: float = _TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._turns = asyncio.Semaphore(_MAX_CHILDREN)

    async def text(self, data: bytes, *, max_chars: int, param: str) -> str:
        """Returns a PDF's text, an empty line between two pages; raises InvalidRequest, RateLimited."""
        try:
            async with asyncio.timeout(_TURN_TIMEOUT_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise RateLimited(
                "too many PDFs are being read; try again shortly", retry_after_s=_TURN_TIMEOUT_S
            ) from error
        try:
            found = await self._read(data, max_chars)
        finally:
            self._turns.release()
        if isinstance(found, Found):
            return found.text
        raise InvalidRequest(f"{param}: {_in_words(found.reason, max_chars)}", param=param)

    async def _read(self, data: bytes, max_chars: int) -> Found | Unreadable:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "trunkline.files", str(_MAX_PAGES), str(max_chars)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={
                name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)
            },
            start_new_session=True,  # Ctrl-C is for us
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                out, _ = await child.communicate(data)
        except TimeoutError:
            return Unreadable("cost")
        finally:
            await _end(child)
        try:
            return _answer.decode(out)
        except msgspec.DecodeError:
            log.warning("pdf_reader_died", exit_code=child.returncode, size_bytes=len(data))
            return Unreadable("cost")


def _in_words(reason: Reason, max_chars: int) -> str:
    match reason:
        case "encrypted":
            return "the PDF is protected by a password; send it without"
        case "pages":
            return f"the PDF has more than {_MAX_PAGES} pages"
        case "length":
            return f"the file holds more than {max_chars} characters of text"
        case "cost":
            return "the PDF takes too much time or memory to read"
        case "broken":
            return "the PDF cannot be read; it is damaged"
        case "empty":
            return "the PDF holds no text; images of pages are not read"


async def _end(child: Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()
    await child.wait()
