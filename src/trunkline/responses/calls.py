"""Which output answers which call, in a conversation."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from trunkline.errors import InvalidRequest
from trunkline.wire.responses.items import (
    CallOutputItem,
    ClientCall,
    ClientOutput,
    FunctionCallItem,
    Item,
    MCPCallItem,
)


def answered(items: Sequence[Item]) -> dict[int, int]:
    """Returns for the place of each call that of its output; a call that has it within is its own.

    Ids are unique only among the calls that are open: some providers count from 0 in every turn.
    Raises InvalidRequest for an output that answers no call, or one that is answered.
    """
    waiting: dict[str, deque[int]] = {}
    answers: dict[int, int] = {}
    for place, item in enumerate(items):
        match item.meaning:
            case FunctionCallItem(call_id=call_id) | ClientCall(call_id=call_id):
                waiting.setdefault(call_id, deque()).append(place)
            case CallOutputItem(call_id=call_id) | ClientOutput(call_id=call_id):
                if not waiting.get(call_id):
                    raise _answers_nothing(call_id, item)
                answers[waiting[call_id].popleft()] = place
            case MCPCallItem(told=str()):
                answers[place] = place
            case _:
                pass
    return answers


def _answers_nothing(call_id: str, item: Item) -> InvalidRequest:
    at = item.at or "previous_response_id"
    return InvalidRequest(
        f"{at}: no call before it has the call_id '{call_id[:80]}', or it has its output already; "
        "send the call's item too, or previous_response_id",
        param=at,
    )
