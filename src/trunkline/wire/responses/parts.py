"""The parts of a message's content, and of a call's output, as callers send them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from trunkline.errors import InvalidRequest


class InputText(Struct, kw_only=True, tag_field="type", tag="input_text"):
    """What somebody says."""

    text: str


class SaidText(InputText, kw_only=True, tag="output_text"):
    """What the assistant said."""


class PlainText(InputText, kw_only=True, tag="text"):
    """Text under Open Responses' name."""


class SaidRefusal(Struct, kw_only=True, tag_field="type", tag="refusal"):
    """How the assistant refused."""

    refusal: str


class InputImage(Struct, kw_only=True, tag_field="type", tag="input_image"):
    """An image: a data URL, or an address on the web."""

    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] | None = None


class InputFile(Struct, kw_only=True, tag_field="type", tag="input_file"):
    """A file: its bytes in base64, as a data URL, or its address on the web."""

    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    file_id: str | None = None


Text = InputText | SaidText | PlainText
Part = InputText | SaidText | PlainText | SaidRefusal | InputImage | InputFile
OutputPart = InputText | SaidText | PlainText | InputImage | InputFile

TYPES = "input_text, input_image, input_file, output_text or refusal"

_ADDRESSES = ("data:", "https://", "http://")


def check_part(part: Part, *, at: str, images: bool) -> None:
    """Raises InvalidRequest with the path for a part that holds nothing that can be used.

    ``images`` is whether there may be any.
    """
    match part:
        case InputImage():
            if not images:
                raise InvalidRequest(
                    f"{at}.type: images can stand in messages of the user and in outputs of calls",
                    param=f"{at}.type",
                )
            _check_source(part.file_id, {"image_url": part.image_url}, at=at)
            _check_address(part.image_url, f"{at}.image_url")
        case InputFile():
            sources = {"file_data": part.file_data, "file_url": part.file_url}
            _check_source(part.file_id, sources, at=at)
            if part.file_data is None:
                _check_address(part.file_url, f"{at}.file_url", _ADDRESSES[1:])
        case _:
            return


def _check_source(file_id: str | None, sources: dict[str, str | None], *, at: str) -> None:
    given = [name for name, value in sources.items() if value is not None]
    if len(given) == 1 and file_id is None:
        return
    names = " or ".join(sources)
    if file_id is not None:
        raise InvalidRequest(
            f"{at}.file_id: no files are kept here; send {names}",
            code="unsupported_parameter",
            param=f"{at}.file_id",
        )
    if given:
        raise InvalidRequest(f"{at}: send {names}, not both", param=at)
    name = next(iter(sources))
    raise InvalidRequest(
        f"missing '{at}.{name}'", code="missing_required_parameter", param=f"{at}.{name}"
    )


def _check_address(url: str | None, param: str, schemes: tuple[str, ...] = _ADDRESSES) -> None:
    if url is None or not url[:8].lower().startswith(schemes):
        raise InvalidRequest(
            f"{param}: must begin with {', '.join(schemes[:-1])} or {schemes[-1]}"
            if len(schemes) > 2
            else f"{param}: must begin with {' or '.join(schemes)}",
            param=param,
        )
