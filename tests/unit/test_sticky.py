"""Which provider a conversation is at, and what tells conversations apart."""

from __future__ import annotations

import json

import msgspec
import pytest

from trunkline.routing import Sticky
from trunkline.routing.sticky import conversation_of
from trunkline.wire.chat import decode_request

SYSTEM = {"role": "system", "content": "You are terse. " * 3}
HELLO = {"role": "user", "content": 'Say "assistant" and {"role": "assistant"}, please'}
ANSWER = {"role": "assistant", "content": "No."}
MORE = {"role": "user", "content": "Why?"}
CALLS = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
LONG = {"role": "user", "content": "word " * 5000}


def conversation(*messages, account="acct_1", model="m", encode=json.dumps, **fields):
    body = encode({"model": model, "messages": list(messages), **fields})
    request = decode_request(body if isinstance(body, bytes) else body.encode(), lenient=False)
    return conversation_of(request, account_id=account, model=model)


@pytest.mark.parametrize("encode", [json.dumps, msgspec.json.encode])
@pytest.mark.parametrize("first", [[HELLO], [SYSTEM, HELLO], [SYSTEM, LONG], [LONG]])
def test_later_requests_of_a_conversation_are_known_as_its_first_one(first, encode):
    begun = conversation(*first, encode=encode)
    second = conversation(*first, ANSWER, MORE, encode=encode)
    tools = conversation(*first, CALLS, MORE, ANSWER, MORE, encode=encode)
    assert begun.key == second.key == tools.key
    assert (begun.continued, second.continued, tools.continued) == (False, True, True)


def test_the_content_may_stand_before_the_role():
    begun = conversation(HELLO)
    said = {"content": "No.", "refusal": None, "role": "assistant"}
    assert conversation(HELLO, said, MORE).key == begun.key


@pytest.mark.parametrize(
    "other",
    [
        conversation(MORE, ANSWER),
        conversation(SYSTEM, HELLO, ANSWER),
        conversation(HELLO, ANSWER, account="acct_2"),
        conversation(HELLO, ANSWER, model="n"),
        conversation(HELLO, ANSWER, prompt_cache_key="k"),
    ],
)
def test_other_beginnings_accounts_and_models_are_other_conversations(other):
    assert other.key != conversation(HELLO, ANSWER).key


def test_long_prompts_differ_by_their_ends_too():
    other = {"role": "user", "content": "word " * 4999 + "Word "}
    assert conversation(LONG).key != conversation(other).key


def test_a_prompt_cache_key_joins_what_begins_differently():
    first = conversation(HELLO, prompt_cache_key="k")
    assert first.key == conversation(MORE, prompt_cache_key="k").key
    assert first.continued
    assert first.key != conversation(HELLO, prompt_cache_key="k", account="acct_2").key


def test_a_conversation_is_at_whoever_answered_last():
    sticky = Sticky()
    sticky.answered(conversation(HELLO), "a")
    assert sticky.provider(conversation(HELLO, ANSWER, MORE)) == "a"
    sticky.answered(conversation(HELLO, ANSWER, MORE), "b")
    assert sticky.provider(conversation(HELLO, ANSWER, MORE, ANSWER, MORE)) == "b"
    assert sticky.provider(conversation(SYSTEM, HELLO, ANSWER, MORE)) is None


def test_the_same_question_again_is_no_continued_conversation():
    sticky = Sticky()
    sticky.answered(conversation(HELLO), "a")
    assert sticky.provider(conversation(HELLO)) is None


def test_after_a_while_a_conversation_is_forgotten():
    now = 0.0
    sticky = Sticky(keep_s=600.0, clock=lambda: now)
    sticky.answered(conversation(HELLO), "a")
    now = 600.0
    assert sticky.provider(conversation(HELLO, ANSWER)) == "a"
    now = 600.1
    assert sticky.provider(conversation(HELLO, ANSWER)) is None


def test_no_more_conversations_are_kept_than_the_latest():
    sticky = Sticky(most=2)
    talks = [conversation(HELLO, prompt_cache_key=str(number)) for number in range(3)]
    sticky.answered(talks[0], "a")
    sticky.answered(talks[1], "b")
    sticky.answered(talks[0], "a")
    sticky.answered(talks[2], "c")
    assert [sticky.provider(talk) for talk in talks] == ["a", None, "c"]


def test_a_long_prompt_cache_key_is_not_kept():
    long = "x" * 1_000_000
    kept = conversation(HELLO, prompt_cache_key=long).key
    assert kept == conversation(MORE, prompt_cache_key=long).key
    assert kept != conversation(HELLO, prompt_cache_key=long + "y").key
    assert len(repr(kept)) < 100
