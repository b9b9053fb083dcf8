"""The Responses API's published formats: requests, items, the response, and its events."""

from trunkline.wire.responses.echo import response_of
from trunkline.wire.responses.events import (
    DONE,
    Event,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
    encode_json,
)
from trunkline.wire.responses.events import encode as encode_events
from trunkline.wire.responses.items import Item, ItemReference, decode_input, kept_item
from trunkline.wire.responses.names import renamed
from trunkline.wire.responses.requests import CreateRequest, decode_create
from trunkline.wire.responses.response import Response
from trunkline.wire.responses.tools import decode_tools

__all__ = [
    "DONE",
    "CreateRequest",
    "Event",
    "Item",
    "ItemReference",
    "Response",
    "ResponseCompleted",
    "ResponseFailed",
    "ResponseIncomplete",
    "decode_create",
    "decode_input",
    "decode_tools",
    "encode_events",
    "encode_json",
    "kept_item",
    "renamed",
    "response_of",
]
