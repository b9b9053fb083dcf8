"""From a file's bytes to its text: text in Unicode as it is, PDF page by page."""

from __future__ import annotations

import codecs

from trunkline.errors import InvalidRequest
from trunkline.files.pdf import PDFs
from trunkline.wire.data_urls import sniffed

_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Files:
    """Reads files. One per process: it knows how many are being read."""

    def __init__(self) -> None:
        self._pdfs = PDFs()

    async def text(self, data: bytes, *, max_chars: int, param: str) -> str:
        """Returns the text of a file, whole or not at all.

        What it is, its bytes tell; names and types are claims, and often wrong ones. ``param`` is the
        field that it came in. Raises InvalidRequest with the reason for what is neither text in
        Unicode nor PDF, holds no text, or more than ``max_chars`` characters of it; RateLimited while
        too many are being read.
        """
        if sniffed(data) == "application/pdf":
            return await self._pdfs.text(data, max_chars=max_chars, param=param)
        text = _decoded(data, param)
        if len(text) > max_chars:
            raise InvalidRequest(
                f"{param}: the file holds more than {max_chars} characters of text", param=param
            )
        if not text.strip():
            raise InvalidRequest(f"{param}: the file holds no text", param=param)
        return text


def _decoded(data: bytes, param: str) -> str:
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise InvalidRequest(
            f"{param}: the file is neither a PDF nor text in UTF-8 or, with a byte order mark, in "
            "UTF-16; convert it",
            param=param,
        )
    return text
