"""What counts as right in the evaluation of the nano model."""

from __future__ import annotations

import pytest

from nano.evaluation.check import (
    AsksThenQuotes,
    Call,
    CallsLike,
    CallsThenSays,
    CallsTool,
    CallsWith,
    Parses,
    Said,
    Says,
    SaysFreely,
    SaysJSON,
)
from nano.evaluation.judge import contains, judge, sentence_count


def calls(name: str, **arguments: object) -> Said:
    return Said(calls=(Call(name, arguments),), finish_reason="tool_calls")


def says(text: str) -> Said:
    return Said(content=text, finish_reason="stop")


NAMED = CallsTool("ring_bell")
COPIED = CallsWith("ring_bell", {"tower": "Lüneburg", "times": 3})
LIKE = CallsLike("ring_bell", {"tower": ("lüneburg",), "pitch": ("low", "high")})
TWO = CallsThenSays(
    calls=(Call("ring_bell", {"tower": "A"}), Call("ring_bell", {"tower": "B"})), values=("7", "9")
)
QUOTED = AsksThenQuotes(
    name="ask",
    arguments={"repo": ("bells",)},
    patterns={"repo": r"\w+/\w+"},
    sentences=("Bells ring.", "Towers stand."),
)


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        (NAMED, calls("ring_bell")),
        (NAMED, calls("ring_bell", anything=1)),
        (COPIED, calls("ring_bell", tower="Lüneburg", times=3)),
        (COPIED, calls("ring_bell", times=3, tower="Lu\u0308neburg")),  # the same in Unicode
        (LIKE, calls("ring_bell", tower="Lüneburg, Germany", pitch="low")),
        (SaysJSON({"a": "x", "n": 5}), says('{"n": 5, "a": "x"}')),
        (Says(("17:35",)), says("It leaves at 17:35.")),
        (Says(("Bo", "Li")), says("Li and Bo.")),
        (SaysFreely(), says("Well.")),
        (SaysFreely(words=("hello", "world"), sentences=1), says("Hello, World!")),
        (Parses(), says("x")),
        (Parses(), calls("whatever")),
    ],
)
def test_a_right_answer_passes(expected, said):
    assert judge(expected, (said,)) is None


@pytest.mark.parametrize(
    ("expected", "said", "fault"),
    [
        (NAMED, says("I ring the bell."), "no call"),
        (NAMED, calls("ring_bells"), "called ring_bells"),
        (
            NAMED,
            Said(calls=(Call("ring_bell", {}),) * 2, finish_reason="tool_calls"),
            "2 calls at once",
        ),
        (COPIED, calls("ring", tower="Lüneburg", times=3), "called ring"),
        (COPIED, calls("ring_bell", tower="Lüneburg"), 'arguments are {"tower": "Lüneburg"}'),
        (
            COPIED,
            calls("ring_bell", tower="Lüneburg", times="3"),
            'arguments are {"tower": "Lüneburg", "times": "3"}',
        ),
        (
            COPIED,
            calls("ring_bell", tower="lüneburg", times=3),
            'arguments are {"tower": "lüneburg", "times": 3}',
        ),
        (
            COPIED,
            calls("ring_bell", tower="Lüneburg", times=3, loud=True),
            'arguments are {"tower": "Lüneburg", "times": 3, "loud": true}',
        ),
        (LIKE, calls("ring_bell", tower="Lübeck", pitch="low"), 'tower is "Lübeck"'),
        (LIKE, calls("ring_bell", tower="Lüneburg"), "pitch is null"),
        (SaysJSON({"a": "x"}), says('{"a": "y"}'), "other values"),
        (SaysJSON({"a": "x"}), says('{"a": "x", "b": 1}'), "other values"),
        (SaysJSON({"n": 1}), says('{"n": true}'), "other values"),
        (SaysJSON({"a": "x"}), says('{"a": "x"'), "not JSON"),
        (SaysJSON({"a": "x"}), calls("a"), "called a"),
        (Says(("Bo", "Li")), says("Only Bob and Li."), "lacks Bo"),
        (Says(("Bo",)), calls("Bo"), "called Bo"),
        (SaysFreely(), calls("ring_bell"), "called ring_bell"),
        (SaysFreely(), says(" \n"), "an empty answer"),
        (SaysFreely(words=("hello", "world")), says("Hello!"), "lacks world"),
        (SaysFreely(sentences=3), says("One. Two."), "2 of 3 sentences"),
        (Parses(), says(""), "an empty answer"),
    ],
)
def test_a_wrong_answer_fails_with_a_reason(expected, said, fault):
    assert judge(expected, (said,)) == fault


@pytest.mark.parametrize("expected", [NAMED, SaysFreely(), Parses(), TWO, QUOTED])
@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (Said(error="HTTP 500: no"), "HTTP 500: no"),
        (Said(content="la la la", finish_reason="length"), "finish_reason is 'length'"),
        (Said(content="la", finish_reason=""), "finish_reason is ''"),
    ],
)
def test_no_answer_or_an_unfinished_one_always_fails(expected, said, fault):
    assert judge(expected, (said,)) == fault


A, B = calls("ring_bell", tower="A"), calls("ring_bell", tower="B")
BOTH = Said(calls=(*A.calls, *B.calls), finish_reason="tool_calls")


@pytest.mark.parametrize("transcript", [(A, B), (B, A), (BOTH,)])
def test_two_calls_pass_in_any_order(transcript):
    assert judge(TWO, (*transcript, says("7 and 9."))) is None


@pytest.mark.parametrize(
    ("transcript", "fault"),
    [
        ((A, says("7 and 9.")), 'never called ring_bell({"tower": "B"})'),
        ((A, A, says("7 and 9.")), 'called ring_bell({"tower": "A"})'),
        ((A, B, calls("ask"), says("7 and 9.")), "called ask({})"),
        ((A, B, says("7 and 8.")), "lacks 9"),
        ((A, B), "called ring_bell"),
        ((says("7 and 9."),), 'never called ring_bell({"tower": "A"})'),
    ],
)
def test_two_calls_fail_if_one_is_missing_or_wrong_or_one_too_many(transcript, fault):
    assert judge(TWO, transcript) == fault


ASKED = calls("ask", repo="ringers/bells")


def test_a_quotation_holds_a_whole_sentence():
    assert judge(QUOTED, (ASKED, says("They say: Towers stand. So do I."))) is None


@pytest.mark.parametrize(
    ("transcript", "fault"),
    [
        ((ASKED, says("Bells rang.")), "no sentence of the tool's answer"),
        ((ASKED, ASKED, says("Bells ring.")), "it called again"),
        ((ASKED,), "called ask"),
        ((calls("read", repo="ringers/bells"), says("Bells ring.")), "called read"),
        ((calls("ask", repo="ringers"), says("Bells ring.")), 'repo is "ringers"'),
        ((calls("ask", repo="the bells/x"), says("Bells ring.")), 'repo is "the bells/x"'),
        ((says("Bells ring."),), "no call"),
    ],
)
def test_a_quotation_fails_without_the_question_or_the_sentence(transcript, fault):
    assert judge(QUOTED, transcript) == fault


def test_what_one_answer_should_settle_may_not_take_two():
    assert judge(NAMED, (A, says("Done."))) == "it took more than one answer"


@pytest.mark.parametrize(
    ("text", "value", "found"),
    [
        ("It is 7.", "7", True),
        ("It is 17.", "7", False),
        ("It is 7.5.", "7", False),
        ("It is 3.4 m.", "3.4", True),
        ("It is 13.4 m.", "3.4", False),
        ("It is 3.45 m.", "3.4", False),
        ("There are 21,874 of them.", "21874", True),
        ("There are 121,874 of them.", "21874", False),
        ("Anna", "Ann", False),
        ("Ann's", "Ann", True),
        ("**Łódź**", "Łódź", True),
        ("Lodz", "Łódź", False),
        ("Ann-Marie O'Hara.", "O'Hara", True),
        ("Olive is the worst.", "olive", True),
        ("I know ann.", "Ann", False),
    ],
)
def test_a_value_is_found_as_whole_words(text, value, found):
    assert contains(text, value) is found


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("no end", 0),
        ("One.", 1),
        ('He said "no." Then he left!', 2),
        ("Wait… What? It costs 3.50 euros.", 3),
    ],
)
def test_sentences_are_counted_where_they_end(text, count):
    assert sentence_count(text) == count
