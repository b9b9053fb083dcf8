"""``text.format``: what the answer's text is like; chat calls it ``response_format``."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from trunkline.errors import InvalidRequest


class FreeText(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    """Text without a form."""

    def chat(self) -> dict[str, Any] | None:
        """Returns chat's ``response_format``, None where there is nothing to say."""
        return None


class JSONObject(Struct, tag_field="type", tag="json_object", forbid_unknown_fields=True):
    """A JSON object, whichever."""

    def chat(self) -> dict[str, Any] | None:
        """Returns chat's ``response_format``."""
        return {"type": "json_object"}


class JSONSchema(Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    """JSON that follows a schema. Flat, where chat has an object of its own for it.

    The schema stays undecoded: who follows it decodes it, within bounds.
    """

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}\Z")]
    schema: Raw
    description: str | UnsetType | None = UNSET
    strict: bool | UnsetType | None = UNSET

    def check(self) -> None:
        """Raises InvalidRequest if the schema is no object."""
        if not bytes(self.schema).startswith(b"{"):
            raise InvalidRequest(
                "text.format.schema: must be an object, a JSON schema",
                code="invalid_type",
                param="text.format.schema",
            )

    def chat(self) -> dict[str, Any] | None:
        """Returns chat's ``response_format``."""
        named: dict[str, Any] = {"name": self.name, "schema": self.schema}
        if self.description:
            named["description"] = self.description
        if isinstance(self.strict, bool):
            named["strict"] = self.strict
        return {"type": "json_schema", "json_schema": named}


TextFormat = FreeText | JSONObject | JSONSchema

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_OF_SCHEMA = ("name", "schema", "description", "strict")


def told_flat(response_format: Raw) -> Raw:
    """Returns chat's ``response_format`` in the form of ``text.format``."""
    fields = _decode_fields(response_format)
    inner = _decode_fields(fields["json_schema"]) if "json_schema" in fields else {}
    flat = {"type": fields["type"]} | {name: inner[name] for name in _OF_SCHEMA if name in inner}
    if inner:
        flat.setdefault("schema", Raw(b"{}"))
    return Raw(msgspec.json.encode(flat))
