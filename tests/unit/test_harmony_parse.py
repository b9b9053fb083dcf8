import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.wire.harmony import (
    Arguments,
    CallStart,
    Content,
    Delta,
    End,
    Header,
    Marker,
    Parser,
    Reasoning,
    match_tool,
)
from trunkline.wire.harmony.header import MAX_SLOT

TOOLS = ["get_weather", "get_time", "ls", "ls_all"]


def fed(pieces, tools=TOOLS):
    parser = Parser(tools=tools)
    deltas = [delta for piece in pieces for delta in parser.feed(piece)]
    return joined([*deltas, *parser.close()]), parser.ended


def told(pieces, tools=TOOLS):
    """The same, by one who knows which pieces are control tokens."""
    parser = Parser(tools=tools)
    deltas = []
    for piece in pieces:
        deltas += parser.marker(piece) if isinstance(piece, Marker) else parser.text(piece)
    return joined([*deltas, *parser.close()]), parser.ended


def parse(completion, tools=TOOLS):
    return fed([completion], tools)[0]


def joined(deltas):
    """Joins deltas of the same kind that follow each other."""
    out: list[Delta] = []
    for delta in deltas:
        match out[-1] if out else None, delta:
            case (Reasoning(one), Reasoning(other)) | (Content(one), Content(other)):
                out[-1] = type(delta)(one + other)
            case Arguments(index, one), Arguments(_, other):
                out[-1] = Arguments(index, one + other)
            case _:
                out.append(delta)
    return out


def called(name, arguments="{}", index=0):
    return [CallStart(index, name), Arguments(index, arguments)]


# ------------------------------------------------------------------------------------ well-formed


def test_a_turn_with_reasoning_preamble_and_calls():
    completion = (
        "<|channel|>analysis<|message|>I look.<|end|>"
        "<|start|>assistant<|channel|>commentary<|message|>One moment.<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
        '{"city":"Oslo"}<|end|>'
        "<|start|>assistant<|channel|>commentary to=functions.get_time <|constrain|>json<|message|>"
        "{}<|call|>"
    )
    assert fed([completion]) == (
        [
            Reasoning("I look."),
            Content("One moment."),
            *called("get_weather", '{"city":"Oslo"}'),
            *called("get_time", index=1),
        ],
        End.CALL,
    )


def test_deltas_come_as_soon_as_they_are_certain():
    parser = Parser()
    assert parser.feed("<|channel|>final<|message|>Hi") == [Content("Hi")]
    assert parser.feed(" <") == [Content(" ")]
    assert parser.feed("|e") == []
    assert parser.feed("x") == [Content("<|ex")]
    assert parser.feed("<|return|>") == []
    assert parser.ended is End.RETURN


def state(parser):
    return parser.in_body, parser.header, parser.ended


def test_the_header_is_known_once_its_message_begins():
    parser = Parser(tools=["get_weather"])
    assert parser.marker(Marker.CHANNEL) == []
    assert parser.text("commentary to=functions.get_weather ") == []
    assert parser.marker(Marker.CONSTRAIN) == []
    assert parser.text("json") == []
    assert state(parser) == (False, None, None)
    assert parser.marker(Marker.MESSAGE) == [CallStart(0, "get_weather")]
    header = Header("commentary", "functions.get_weather", "json", tool="get_weather")
    assert state(parser) == (True, header, None)
    assert parser.marker(Marker.END) == []
    assert state(parser) == (False, None, None)


def test_text_that_spells_a_marker_is_text_for_one_who_knows_the_tokens():
    pieces = [Marker.CHANNEL, "final", Marker.MESSAGE, "<|end|>", Marker.RETURN]
    assert told(pieces) == ([Content("<|end|>")], End.RETURN)


@pytest.mark.parametrize("marker", [Marker.CALL, Marker.RETURN])
def test_what_follows_the_end_is_ignored(marker):
    turn = f"<|channel|>final<|message|>Hi{marker}"
    rest = "more<|start|>assistant<|channel|>final<|message|>Bye<|return|>"
    assert fed([turn + rest]) == fed([turn]) == ([Content("Hi")], End(marker.strip("<|>")))


def test_messages_of_one_kind_are_set_apart():
    completion = (
        "<|channel|>commentary<|message|>One.<|end|>"
        "<|start|>assistant<|channel|>analysis<|message|>Hm.<|end|>"
        "<|start|>assistant<|channel|>final<|message|><|end|>"
        "<|start|>assistant<|channel|>final<|message|>Two.<|return|>"
    )
    assert parse(completion) == [Content("One."), Reasoning("Hm."), Content("\n\nTwo.")]


# ---------------------------------------------------------------------------------------- tolerant


@pytest.mark.parametrize(
    "header",
    [
        "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.get_weather<|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.get_weather json<|message|>",
        "<|channel|>commentary to=functions.get_weather code<|message|>",
        "<|channel|>commentary to=functions.get_weather<|message|>",
        "<|channel|>commentary <|constrain|>json to=functions.get_weather<|message|>",
        "<|channel|>analysis to=functions.get_weather <|constrain|>json<|message|>",
        "<|channel|>final to=functions.get_weather <|constrain|>json<|message|>",
        "<|channel|>tools to=functions.get_weather <|constrain|>json<|message|>",
        "<|channel|>to=functions.get_weather <|constrain|>json<|message|>",
        "<|channel|>commentaryto=functions.get_weather <|constrain|>json<|message|>",
        " to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>",
        " to=functions.get_weather<|channel|>analysis code<|message|>",
        "to=functions.get_weather<|message|>",
        "<|start|>assistant to=functions.get_weather<|channel|>commentary<|message|>",
        "<|start|>assistantto=functions.get_weather<|channel|>commentary<|message|>",
        "<|channel|>commentary to=get_weather <|constrain|>json<|message|>",
        "<|channel|>commentary to=tools.get_weather <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.Get_Weather <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.get_weather() <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.get_weathercommentary<|message|>",
        "<|channel|>commentary to=functions.get_weather<|channel|>commentary<|message|>",
        "<|channel|>commentary to=functions.get_weather ",
        "<|channel|>commentary to=functions.get_weather",
        "<|channel|>commentary to=functions.get_weather json ",
        "<|channel|>commentary to=functions.get_weather <|constrain|>json",
    ],
)
def test_a_call_is_understood(header):
    assert fed([header + '{"city": "Oslo"}<|call|>']) == (
        called("get_weather", '{"city": "Oslo"}'),
        End.CALL,
    )


@pytest.mark.parametrize(
    "completion",
    [
        "<|channel|>final<|message|>Hello there",
        "<|channel|>final <|constrain|>text<|message|>Hello there<|return|>",
        "<|channel|>final json<|message|>Hello there<|return|>",
        "<|channel|>final Hello there<|return|>",
        "<|channel|>finalHello there<|end|>",
        "<|channel|>commentary<|message|>Hello there<|end|>",
        "<|channel|>commentary to=user<|message|>Hello there<|end|>",
        "<|channel|>commentary to=<|message|>Hello there<|end|>",
        "<|channel|>answer<|message|>Hello there<|return|>",
        "<|message|>Hello there<|return|>",
        "final<|message|>Hello there<|return|>",
        "assistant<|channel|>final<|message|>Hello there",
        "<|start|>assistant<|channel|>final<|message|>Hello there<|return|>",
        "\n<|start|>assistant<|channel|>final<|message|>Hello there<|return|>",
        "<|start|>assistantfinal<|message|>Hello there<|return|>",
        "<|start|>assistantHello there<|return|>",
        "<|start|>final<|message|>Hello there<|return|>",
        "<|start|>assistant<|message|>Hello there<|return|>",
        "<|start|><|channel|>final<|message|>Hello there<|return|>",
        "<|channel|>final<|message|>Hello<|message|> <|constrain|>there<|return|>",
        "Hello there",
        "Hello there<|return|>",
    ],
)
def test_an_answer_is_understood(completion):
    assert parse(completion) == [Content("Hello there")]


@pytest.mark.parametrize(
    "between",
    [
        "<|end|><|start|>assistant<|channel|>final<|message|>",
        "<|end|>\n<|start|>assistant<|channel|>final<|message|>",
        "<|start|>assistant<|channel|>final<|message|>",
        "<|end|>assistant<|channel|>final<|message|>",
        "<|end|><|channel|>final<|message|>",
        "<|channel|>final<|message|>",
        "<|end|><|start|>assistant<|message|>",
        "<|end|><|message|>",
        "<|end|>",
        "<|end|><|end|><|start|>assistant<|channel|>final ",
    ],
)
def test_reasoning_and_answer_are_told_apart(between):
    completion = f"<|channel|>analysis<|message|>I greet.{between}Hello you<|return|>"
    assert parse(completion) == [Reasoning("I greet."), Content("Hello you")]


@pytest.mark.parametrize(
    "cut_off",
    [
        "<|start|>assistant<|channel|>commentary to=functions.get_we",
        "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>js",
        "<|start|>assistant<|channel|>commentary to=functions.get_weather js",
        "<|start|>assistant<|channel|>final js",
        "<|start|>assistant<|channel|>fin",
        "<|start|>assistant<|channel|>",
        "<|start|>assistant<|chan",
        "<|start|>assis",
        "<|sta",
        "assistant",
        "",
    ],
)
def test_a_cut_off_header_says_nothing(cut_off):
    completion = f"<|channel|>analysis<|message|>Hm.<|end|>{cut_off}"
    assert fed([completion]) == ([Reasoning("Hm.")], None)


def test_a_call_without_a_body_is_a_call():
    completion = "<|channel|>commentary to=functions.get_time <|constrain|>json<|call|>"
    assert fed([completion]) == ([CallStart(0, "get_time")], End.CALL)


@pytest.mark.parametrize(
    "header",
    [
        "<|start|>user<|message|>",
        "<|start|>user and then<|message|>",
        "<|start|>system<|message|>",
        "<|start|>functions.get_weather to=assistant<|channel|>commentary<|message|>",
        "<|start|>get_weather to=assistant<|channel|>commentary<|message|>",
    ],
)
def test_speaking_for_somebody_else_ends_the_turn(header):
    completion = f"<|channel|>final<|message|>Hi<|end|>{header}What is the capital of Peru?<|end|>"
    assert fed([completion]) == ([Content("Hi")], End.FOREIGN)


@pytest.mark.parametrize(
    "word", ["final", "assistant", "ana", "to", "to=ls", "json", "<", "<|", "<|end"]
)
def test_a_turn_of_one_header_word_is_an_answer(word):
    assert parse(word) == [Content(word)]


def test_a_tool_that_was_not_declared_keeps_its_name():
    completion = "<|channel|>commentary to=functions.rm<|message|>{}<|call|>"
    assert parse(completion) == called("rm")


@pytest.mark.parametrize(
    ("recipient", "tool"),
    [
        ("functions.ls", "ls"),
        ("ls", "ls"),
        ("ls_all", "ls_all"),
        ("functions.ls_allcommentary", "ls_all"),
        ("functions.ls.json", "ls"),
        ("container.ls", "ls"),
        ("functions.ls<|channel|>commentary", "ls"),
        ("functions.LS", "ls"),
        ("functions.lsof", "lsof"),
        ("functions.user", "user"),
        ("functions.", None),
        ("user", None),
        ("assistant", None),
        ("all", None),
    ],
)
def test_a_recipient_names_a_tool(recipient, tool):
    assert match_tool(recipient, TOOLS) == tool


def test_tools_that_differ_in_case_only_are_not_guessed():
    assert match_tool("functions.LS", ["ls", "Ls"]) == "LS"


# --------------------------------------------------------------------------------- bounded, and split


def test_a_recipient_without_end_is_a_call_and_no_answer():
    endless = "<|channel|>commentary to=functions." + "x" * 1000
    whole = parse(endless)
    assert fed(endless)[0] == whole
    assert isinstance(whole[0], CallStart)
    assert not [delta for delta in whole if isinstance(delta, Content)]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "<|start|>",
        "<|start|>assistant ",
        "<|channel|>",
        "<|channel|>final ",
        "<|channel|>a to=",
    ],
)
@pytest.mark.parametrize("filler", ["x", " ", "assistant ", "to=a ", "final"])
def test_a_header_without_end_becomes_text(header, filler):
    parser = Parser()
    parser.feed(header)
    for _ in range(MAX_SLOT + 1):
        parser.feed(filler)
    assert parser.in_body


MODEL_TEXT = st.lists(
    st.sampled_from(
        [
            *Marker,
            *("assistant", "user", "analysis", "commentary", "final", "thoughts", "functions.ls"),
            *(" to=functions.ls", "to=assistant", " to=", "json", " json", '{"a": 1}', " {", "[1]"),
            *(" ", "\n", "Hello", " there", "<", "<|", "|>", "<|en", "日本語", "x" * 100),
        ]
    ),
    max_size=12,
)


@given(MODEL_TEXT, st.data())
def test_any_split_of_the_text_gives_the_same(pieces, data):
    text = "".join(pieces)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    parts = [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
    assert fed(parts) == fed([text])


@given(MODEL_TEXT)
def test_one_character_at_a_time_gives_the_same(pieces):
    text = "".join(pieces)
    assert fed(text) == fed([text])


@given(MODEL_TEXT)
def test_text_and_tokens_give_the_same(pieces):
    # Without texts that could spell a marker or a part of one, the two ways see the same.
    pieces = [p for p in pieces if isinstance(p, Marker) or not {"<", "|"} & set(p)]
    assert told(pieces) == fed(["".join(pieces)])


@given(st.text())
def test_text_without_a_marker_is_the_answer(text):
    text = text.replace("<|", "").strip() + "."
    assert parse(text) == [Content(text)]


@given(MODEL_TEXT)
def test_what_is_said_stands_in_the_text_in_this_order(pieces):
    text = "".join(pieces)
    said = "".join(d.text for d in fed([text])[0] if not isinstance(d, CallStart))
    rest = iter(text)
    assert all(character in rest for character in said if character != "\n")


@given(MODEL_TEXT)
def test_calls_are_numbered_and_begin_before_their_arguments(pieces):
    begun = 0
    for delta in parse("".join(pieces)):
        if isinstance(delta, CallStart):
            assert delta.index == begun
            begun += 1
        elif isinstance(delta, Arguments):
            assert delta.index == begun - 1
