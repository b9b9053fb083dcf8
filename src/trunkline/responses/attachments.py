"""Images and files of a request: brought in from where they are, and turned into what models read.

Their addresses are the caller's choice. No provider is handed one: it might reach what only its own
network may, and not every one fetches. What is at an address goes on as a data URL.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from trunkline.errors import EgressError, InvalidRequest
from trunkline.responses.history import Image
from trunkline.wire import data_urls
from trunkline.wire.responses.items import CallOutputItem, Item, Message
from trunkline.wire.responses.parts import InputFile, InputText

MAX_IMAGE_BYTES = 20 << 20
MAX_FILE_BYTES = 32 << 20
MAX_FILE_CHARS = 4_000_000
MAX_FETCHED_BYTES = 64 << 20
"""Of all that one request lets be fetched."""
MAX_FETCHES = 50

_AT_A_TIME = 4
_TOTAL_S = 90.0
_REMEMBERED_CHARS = 16_000_000
_MAX_NAME = 200
_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f<>\"]")
_ANY_FILE = ("application/pdf", "text/*", "application/*")


class Fetched(Protocol):
    """What an address holds."""

    @property
    def body(self) -> bytes: ...


class Fetch(Protocol):
    """The guarded way out; raises EgressError."""

    def __call__(
        self, url: str, /, *, max_bytes: int, accept: Sequence[str]
    ) -> Awaitable[Fetched]: ...


class ReadText(Protocol):
    """Reads the text of a file; raises InvalidRequest for ``param``."""

    def __call__(self, data: bytes, /, *, max_chars: int, param: str) -> Awaitable[str]: ...


class File(NamedTuple):
    """A file in a conversation, and the content that it is a part of."""

    part: InputFile
    content: list[Any]
    place: int
    at: str


_What = TypeVar("_What", File, Image)


class Attachments:
    """Brings in what requests name. One per process: it remembers the texts of files that come again.

    A conversation brings its files with every turn, and to read a PDF takes a process of its own.
    """

    def __init__(self, *, fetch: Fetch, read_text: ReadText, total_s: float = _TOTAL_S) -> None:
        self._fetch = fetch
        self._read_text = read_text
        self._total_s = total_s
        self._texts: OrderedDict[bytes, str] = OrderedDict()
        self._remembered = 0

    async def read_files(self, files: Sequence[File]) -> None:
        """Puts its text in the place of each file; raises InvalidRequest with the path."""
        await self._all(files, self._read_file)

    async def show_images(self, images: Sequence[Image]) -> None:
        """Writes the images as data URLs of their true type; raises InvalidRequest with the path."""
        await self._all(images, self._show_image)

    async def _all(
        self,
        what: Sequence[_What],
        do: Callable[[_What, _Budget], Awaitable[None]],
    ) -> None:
        """Does it for all, a few at a time; the first failure is raised, and ends the others."""
        budget = _Budget()
        turns = asyncio.Semaphore(_AT_A_TIME)

        async def in_turn(one: _What) -> None:
            async with turns:
                await do(one, budget)

        try:
            async with asyncio.timeout(self._total_s), asyncio.TaskGroup() as group:
                for one in what:
                    group.create_task(in_turn(one))
        except TimeoutError as error:
            raise InvalidRequest(
                f"{what[0].at}: the images and files of this request take longer than "
                f"{self._total_s:g} s to fetch",
                param=what[0].at,
            ) from error
        except BaseExceptionGroup as errors:
            failure = errors.exceptions[0]
            raise failure from failure.__cause__

    async def _read_file(self, file: File, budget: _Budget) -> None:
        part, at = file.part, file.at
        if part.file_data is not None:
            at = f"{at}.file_data"
            data = _file_bytes(part.file_data, at)
        else:
            at = f"{at}.file_url"
            data = await self._fetched(
                part.file_url or "", budget, max_bytes=MAX_FILE_BYTES, accept=_ANY_FILE, at=at
            )
        text = await self._text(data, at)
        name = _NOT_IN_A_NAME.sub(" ", part.filename or _last_of_path(part.file_url))[:_MAX_NAME]
        about = f' name="{name}"' if name.strip() else ""
        file.content[file.place] = InputText(text=f"<file{about}>\n{text}\n</file>")

    async def _text(self, data: bytes, at: str) -> str:
        key = hashlib.sha256(data).digest()
        known = self._texts.get(key)
        if known is not None:
            self._texts.move_to_end(key)
            return known
        text = await self._read_text(data, max_chars=MAX_FILE_CHARS, param=at)
        self._remember(key, text)
        return text

    def _remember(self, key: bytes, text: str) -> None:
        self._remembered += len(text) - len(self._texts.pop(key, ""))
        self._texts[key] = text
        while self._remembered > _REMEMBERED_CHARS:
            _, oldest = self._texts.popitem(last=False)
            self._remembered -= len(oldest)

    async def _show_image(self, image: Image, budget: _Budget) -> None:
        at = image.at
        if image.url[:5].lower() == "data:":
            media = data_urls.decoded(image.url, max_bytes=MAX_IMAGE_BYTES, param=at)
            found = data_urls.image(media.body, param=at)
            if found.type != media.type:
                image.show(found.url)
            return
        body = await self._fetched(
            image.url, budget, max_bytes=MAX_IMAGE_BYTES, accept=data_urls.IMAGE_TYPES, at=at
        )
        image.show(data_urls.image(body, param=at).url)

    async def _fetched(
        self, url: str, budget: _Budget, *, max_bytes: int, accept: Sequence[str], at: str
    ) -> bytes:
        budget.take(at)
        try:
            fetched = await self._fetch(
                url, max_bytes=min(max_bytes, budget.left_bytes), accept=accept
            )
        except EgressError as error:
            raise InvalidRequest(f"{at}: {error.message}", param=at) from error
        budget.left_bytes -= len(fetched.body)
        return fetched.body


class _Budget:
    """What one request may have fetched for it."""

    def __init__(self) -> None:
        self.left_bytes = MAX_FETCHED_BYTES
        self._left = MAX_FETCHES

    def take(self, at: str) -> None:
        self._left -= 1
        if self._left < 0 or self.left_bytes <= 0:
            raise InvalidRequest(
                f"{at}: a request may have {MAX_FETCHES} addresses, which hold "
                f"{MAX_FETCHED_BYTES} bytes together",
                param=at,
            )


def files_of(items: Iterable[Item]) -> Iterator[File]:
    """Yields the files in a conversation."""
    for item in items:
        match item.meaning:
            case Message(content=list() as content):
                name = "content"
            case CallOutputItem(output=list() as content):
                name = "output"
            case _:
                continue
        for index, part in enumerate(content):
            if isinstance(part, InputFile):
                at = f"{item.at}.{name}[{index}]" if item.at else "previous_response_id"
                yield File(part, content, index, at)


def _file_bytes(data: str, at: str) -> bytes:
    """Takes a file out of a data URL, or of nothing but its base64."""
    if data[:5].lower() == "data:":
        return data_urls.decoded(data, max_bytes=MAX_FILE_BYTES, param=at).body
    return data_urls.from_base64(data, max_bytes=MAX_FILE_BYTES, param=at)


def _last_of_path(url: str | None) -> str:
    path = (url or "").partition("?")[0].partition("#")[0]
    return path.rpartition("/")[2]
