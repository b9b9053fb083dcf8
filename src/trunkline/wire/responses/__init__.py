"""The Responses API's published formats: requests, items, the response, and its events."""

from trunkline.wire.responses.dialects import DONE, Dialect, Encoding, encode_json, encoding_of
from trunkline.wire.responses.echo import response_of
from trunkline.wire.responses.events import (
    Ended,
    Event,
    ResponseCompleted,
    ResponseFailed,
    ResponseIncomplete,
    numbered,
)
from trunkline.wire.responses.items import (
    Item,
    ItemReference,
    added_tools,
    decode_input,
    kept_item,
)
from trunkline.wire.responses.names import name_of, renamed
from trunkline.wire.responses.requests import CreateRequest, decode_create
from trunkline.wire.responses.response import Response, decode_response
from trunkline.wire.responses.tools import Offered, decode_tools

__all__ = [
    "DONE",
    "CreateRequest",
    "Dialect",
    "Encoding",
    "Ended",
    "Event",
    "Item",
    "ItemReference",
    "Offered",
    "Response",
    "ResponseCompleted",
    "ResponseFailed",
    "ResponseIncomplete",
    "added_tools",
    "decode_create",
    "decode_input",
    "decode_response",
    "decode_tools",
    "encode_json",
    "encoding_of",
    "kept_item",
    "name_of",
    "numbered",
    "renamed",
    "response_of",
]
