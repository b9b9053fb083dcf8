"""A turn on a scripted engine: whatever the model says, what was asked for holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.engine.client import Completion, Done, Piece, Progress, TokenLogprob
from trunkline.engine.grammar import choice_grammar, json_grammar
from trunkline.errors import InvalidRequest, UpstreamError
from trunkline.providers.turn import Rules, Spoken, Turn
from trunkline.wire.harmony import Arguments, CallStart, Content, Marker, Reasoning

START, END, MESSAGE, CHANNEL, CONSTRAIN, CALL, RETURN = (
    Marker.START,
    Marker.END,
    Marker.MESSAGE,
    Marker.CHANNEL,
    Marker.CONSTRAIN,
    Marker.CALL,
    Marker.RETURN,
)
IDS = {marker: 1000 + number for number, marker in enumerate(Marker)}
SPELLED = {id_: marker.value for marker, id_ in IDS.items()}
WORD = 7  # the id of every token that is no marker
PROMPT = [START, "user", MESSAGE, "hi", END, START, "assistant"]
LS = json_grammar({"type": "object"}, strict=True)
RM = json_grammar({"type": "object", "title": "rm"}, strict=True)
FORMAT = json_grammar({"title": "any JSON"}, strict=True)
TOOL = {"ls": LS}
TOOLS = {"ls": LS, "rm": RM}

THINKS = [CHANNEL, "analysis", MESSAGE, "hm", END, START, "assistant"]
ANSWERS = [CHANNEL, "final", MESSAGE, "yes", RETURN]
# The same in segments: the engine stops at <|message|>.
THINKING = [CHANNEL, "analysis", MESSAGE]
THOUGHT = ["hm", END, START, "assistant"]
CALLING = [CHANNEL, "commentary to=functions.ls ", CONSTRAIN, "json", MESSAGE]
ANSWERING = [CHANNEL, "final", MESSAGE]


class ScriptedEngine:
    """Answers each completion with the next list of tokens, as the engine's client would pass it on.

    Text under a grammar is followed by the grammar's end of itself.
    """

    def __init__(self, *scripts: Sequence[str], full_after: int | None = None) -> None:
        self.completions: list[Completion] = []
        self._scripts = list(scripts)
        self._full_after = full_after

    @asynccontextmanager
    async def complete(self, completion: Completion):
        if self._full_after == len(self.completions):
            raise InvalidRequest("too long", code="context_length_exceeded", param="messages")
        self.completions.append(completion)
        assert self._scripts, "the turn asks for more than the script holds"
        script = [*self._scripts.pop(0), *_end(completion)]
        yield self._output(completion, script)

    async def _output(self, completion: Completion, script: Sequence[str]):
        yield [Progress(len(PROMPT), 3)]
        text, sent = "", 0
        for predicted, token in enumerate(script, start=1):
            id_ = IDS[token] if isinstance(token, Marker) else WORD
            if token in (CALL, RETURN) and isinstance(token, Marker):
                yield [Piece(text[sent:], [id_], predicted, []), self._done("eos", predicted)]
                return
            text += str(token)
            if found := [(text.index(word), word) for word in completion.stop if word in text]:
                at, word = min(found)
                piece = Piece(text[sent:at], [id_], predicted, [])
                yield [piece, self._done("word", predicted, word)]
                return
            hold = any(text.endswith(w[:n]) for w in completion.stop for n in range(1, len(w)))
            probability = TokenLogprob(id_, str(token), list(str(token).encode()), -0.5)
            probabilities = [probability] * bool(completion.n_probs)
            yield [Piece("" if hold else text[sent:], [id_], predicted, probabilities)]
            sent = sent if hold else len(text)
            if predicted == completion.max_tokens:
                yield [self._done("limit", predicted)]
                return
        yield [self._done("eos", len(script))]

    def _done(self, stop_type: str, predicted: int, word: str = "") -> Done:
        return Done(stop_type, word, len(PROMPT), 3, predicted)


def _end(completion: Completion) -> Sequence[str]:
    return (completion.stop or [RETURN]) if completion.grammar else []


@dataclass
class Said:
    turn: Turn
    engine: ScriptedEngine
    spoken: list[Spoken] = field(default_factory=list)

    def _joined(self, kind: type[Content | Reasoning | Arguments]) -> str:
        return "".join(s.delta.text for s in self.spoken if isinstance(s.delta, kind))

    @property
    def content(self) -> str:
        return self._joined(Content)

    @property
    def reasoning(self) -> str:
        return self._joined(Reasoning)

    @property
    def call(self) -> tuple[str, str] | None:
        names = [s.delta.name for s in self.spoken if isinstance(s.delta, CallStart)]
        assert len(names) <= 1
        return (names[0], self._joined(Arguments)) if names else None

    @property
    def outcome(self) -> tuple[str, tuple[str, str] | None, str]:
        return self.content, self.call, self.turn.finish_reason

    @property
    def last_prompt(self) -> str:
        """What the last completion was given after the request's own prompt, markers spelled out."""
        parts = self.engine.completions[-1].prompt
        return "".join(SPELLED.get(p, "?") if isinstance(p, int) else p for p in parts).partition(
            "<|end|><|start|>assistant"
        )[2]

    @property
    def grammars(self) -> list[str]:
        return [completion.grammar for completion in self.engine.completions]


def run(
    *scripts: Sequence[str],
    stop: Sequence[str] = (),
    max_tokens: int | None = 99,
    n_probs: int = 0,
    full_after: int | None = None,
    **rules,
) -> Said:
    engine = ScriptedEngine(*scripts, full_after=full_after)
    turn = Turn(
        engine,  # type: ignore[arg-type]  # the one method that a turn uses
        prompt=PROMPT,
        markers={marker.value: id_ for marker, id_ in IDS.items()},
        sampling=Completion(prompt=(), max_tokens=max_tokens, n_probs=n_probs),
        rules=Rules(**rules),
        stop=stop,
    )
    said = Said(turn, engine)

    async def main() -> None:
        async for batch in turn.run():
            assert batch, "nothing is yielded for nothing"
            said.spoken += batch

    asyncio.run(main())
    return said


# ---------------------------------------------------------------------------------- without any rule


def test_a_free_turn_is_one_completion():
    said = run([*THINKS, *ANSWERS])
    assert (said.reasoning, *said.outcome) == ("hm", "yes", None, "stop")
    (completion,) = said.engine.completions
    assert (completion.grammar, completion.stop, completion.max_tokens) == ("", (), 99)


def test_a_turn_without_a_single_marker_is_the_answer():
    assert run(["Hello", " there", RETURN]).content == "Hello there"
    assert run(["a", RETURN]).content == "a"  # it could have become "analysis"


def test_a_call_without_tools_is_taken_back_and_answered_instead():
    said = run(
        [*THINKS, CHANNEL, "commentary to=functions.evil", MESSAGE, "{}", CALL], ["no", RETURN]
    )
    assert (said.reasoning, *said.outcome) == ("hm", "no", None, "stop")
    assert said.last_prompt == (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>"
    )


@pytest.mark.parametrize(
    "call",
    [
        [CHANNEL, "commentary to=functions.evil", CALL],
        [CHANNEL, "commentary to=functions.evil", END, START, "assistant"],
        [CHANNEL, 'commentary to=functions.evil {"a":', "1}", CALL],
        [" to=functions.evil", CHANNEL, "analysis", MESSAGE, "{}", CALL],
    ],
)
def test_a_malformed_call_without_tools_is_no_call_either(call):
    assert run(call, ["no", RETURN]).outcome == ("no", None, "stop")


def test_a_model_that_only_thinks_is_asked_for_its_answer():
    said = run([*THINKS[:4], RETURN], ["yes", RETURN])
    assert (said.reasoning, *said.outcome) == ("hm", "yes", None, "stop")
    assert said.last_prompt == (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>"
    )


def test_a_thought_stays_in_the_prompt_when_the_model_stops_right_after_it():
    said = run([*THINKS[:5], RETURN], ["yes", RETURN])
    assert said.last_prompt == (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>"
    )


def test_an_end_of_the_turn_that_is_no_marker_of_harmony_counts():
    assert run([*THINKS[:4]], ["yes"]).outcome == ("yes", None, "stop")


def test_an_empty_answer_is_an_answer():
    assert run([*THINKS, *ANSWERING, RETURN]).outcome == ("", None, "stop")


def test_a_model_that_never_answers_is_left_alone_in_the_end():
    said = run(*[[END, *THINKS[:4], RETURN]] * 4)  # closes the final message written for it
    assert (said.outcome, len(said.engine.completions)) == (("", None, "stop"), 4)


def test_a_model_that_begins_to_speak_for_the_user_is_stopped():
    said = run([*ANSWERING, "yes", END, START, "user", MESSAGE, "and what about", RETURN])
    assert said.outcome == ("yes", None, "stop")
    said = run([*THINKS[:5], START, "user", MESSAGE, "what about", RETURN], ["yes", RETURN])
    assert (said.reasoning, *said.outcome) == ("hm", "yes", None, "stop")
    assert "user" not in said.last_prompt


# -------------------------------------------------------------------------------------------- tools


def test_a_turn_with_tools_may_answer():
    said = run(THINKING, [*THOUGHT, *ANSWERING], ["yes", RETURN], tools=TOOL)
    assert (said.reasoning, *said.outcome) == ("hm", "yes", None, "stop")
    assert said.grammars == ["", "", ""]


def test_a_call_gets_its_arguments_under_the_tools_grammar():
    said = run(THINKING, [*THOUGHT, *CALLING], ['{"a"', ": 1}"], tools=TOOLS)
    assert (said.reasoning, *said.outcome) == ("hm", "", ("ls", '{"a": 1}'), "tool_calls")
    assert said.grammars == ["", "", LS]


@pytest.mark.parametrize(
    "header",
    [
        [" to=functions.ls", CHANNEL, "commentary", MESSAGE],
        [CHANNEL, "analysis to=functions.ls code", MESSAGE],
        [CHANNEL, "commentary to=ls", MESSAGE],
        [CHANNEL, "commentary to=functions.ls<|channel|>commentary", MESSAGE],
    ],
)
def test_a_call_may_stand_in_any_header(header):
    assert run(header, ["{}"], tools=TOOLS).call == ("ls", "{}")


def test_a_preamble_is_visible_text_beside_the_call():
    preamble = [CHANNEL, "commentary", MESSAGE]
    said = run(preamble, ["Let me see.", END, START, "assistant", *CALLING], ["{}"], tools=TOOL)
    assert said.outcome == ("Let me see.", ("ls", "{}"), "tool_calls")


def test_a_call_of_a_tool_that_does_not_exist_becomes_one_that_does():
    evil = [CHANNEL, "commentary to=functions.evil ", CONSTRAIN, "json", MESSAGE]
    said = run(evil, ["{}"], tools=TOOL)
    assert (said.call, said.grammars) == (("ls", "{}"), ["", LS])
    assert said.last_prompt == (
        "<|channel|>commentary to=functions.ls <|constrain|>json<|message|>"
    )
    said = run(evil, ["rm"], ["{}"], tools=TOOLS)
    assert said.call == ("rm", "{}")
    assert 'BODY: "ls" | "rm"\n' in said.grammars[1]


@pytest.mark.parametrize(
    "call",
    [
        [CHANNEL, "commentary to=functions.ls", CALL],
        [CHANNEL, "commentary to=functions.ls", END, START, "assistant"],
        [CHANNEL, 'commentary to=functions.ls {"a":', "1}", CALL],
        [CHANNEL, "commentary to=functions.ls ", CONSTRAIN, 'json{"a"', CALL],
        [CHANNEL, "commentary to=functions.evil", CALL],
        [CHANNEL, "commentary", " to=functions." + "evil" * 100],
    ],
)
def test_a_call_whose_header_has_no_end_is_begun_again(call):
    said = run(call, ["{}"], tools=TOOL)
    assert (said.outcome, said.grammars) == (
        ("", ("ls", "{}"), "tool_calls"),
        ["", LS],
    )


def test_a_turn_holds_one_call():
    said = run(CALLING, ["{}"], tools=TOOL)
    assert (len(said.engine.completions), said.call) == (2, ("ls", "{}"))


def test_a_required_call_follows_the_thought_instead_of_the_answer():
    said = run(THINKING, [*THOUGHT, *ANSWERING], ["{}"], tools=TOOL, must_call=True)
    assert (said.reasoning, *said.outcome) == ("hm", "", ("ls", "{}"), "tool_calls")
    assert said.last_prompt.endswith(
        "hm<|end|><|start|>assistant<|channel|>commentary to=functions.ls <|constrain|>json<|message|>"
    )


@pytest.mark.parametrize(
    "dodge",
    [
        [RETURN],
        ["Hello", " there", RETURN],
        ["a", RETURN],
        [CHANNEL, "final Hello there", RETURN],
        [CHANNEL, "final", END, RETURN],
        [START, "user", MESSAGE],
        [END, START, "functions.ls to=assistant", CHANNEL, "commentary", MESSAGE],
        [],
    ],
)
def test_a_required_call_comes_whatever_the_model_does_instead(dodge):
    said = run(dodge, ["{}"], tools=TOOL, must_call=True)
    assert (said.call, said.turn.finish_reason) == (("ls", "{}"), "tool_calls")


def test_one_of_several_tools_is_chosen_under_a_grammar():
    said = run(ANSWERING, ["rm"], ["{}"], tools=TOOLS, must_call=True)
    assert (said.call, said.grammars[2]) == (("rm", "{}"), RM)
    assert said.engine.completions[1].prompt[-1] == "commentary to=functions."
    assert said.last_prompt == (
        "<|channel|>commentary to=functions.rm <|constrain|>json<|message|>"
    )


def test_a_name_that_is_none_of_the_choices_is_the_engines_failure():
    with pytest.raises(UpstreamError, match="left the grammar"):
        run(ANSWERING, ["format_disk"], tools=TOOLS, must_call=True)


# ------------------------------------------------------------------------------------- no reasoning


def test_without_reasoning_the_answer_begins_at_once():
    said = run(["yes", RETURN], think=False)
    assert (said.reasoning, said.content) == ("", "yes")
    assert said.last_prompt == "<|channel|>final<|message|>"


def test_without_reasoning_a_required_call_begins_at_once():
    said = run(["{}"], think=False, tools=TOOL, must_call=True)
    assert (said.call, said.grammars) == (("ls", "{}"), [LS])


@pytest.mark.parametrize(
    ("choice", "then", "outcome"),
    [
        ("final", ["yes", RETURN], ("yes", None, "stop")),
        ("commentary to=functions.rm", ["{}"], ("", ("rm", "{}"), "tool_calls")),
    ],
)
def test_without_reasoning_the_model_chooses_between_calls_and_answer(choice, then, outcome):
    said = run([choice], then, think=False, tools=TOOLS)
    assert said.outcome == outcome
    headings = 'BODY: "commentary to=functions.ls" | "commentary to=functions.rm" | "final"\n'
    assert headings in said.grammars[0]


def test_without_reasoning_a_thought_after_the_answer_ends_the_turn():
    said = run(["yes", END, START, "assistant", *THINKS[:4], RETURN], think=False)
    assert (said.reasoning, *said.outcome) == ("", "yes", None, "stop")
    said = run(["final"], ["yes", END, START, "assistant", *THINKING], think=False, tools=TOOL)
    assert (said.reasoning, *said.outcome) == ("", "yes", None, "stop")


def test_a_call_after_the_answer_ends_a_turn_without_tools():
    said = run([*ANSWERING, "yes", END, START, "assistant", *CALLING, "{}", CALL])
    assert said.outcome == ("yes", None, "stop")


def test_nothing_is_said_before_the_engine_has_taken_the_prompt():
    with pytest.raises(InvalidRequest):
        run(think=False, tools=TOOL, must_call=True, full_after=0)


# --------------------------------------------------------------------------------- response formats


def test_the_answer_follows_its_grammar():
    said = run(THINKING, [*THOUGHT, *ANSWERING], ["{}"], answer=FORMAT)
    assert (said.reasoning, *said.outcome) == ("hm", "{}", None, "stop")
    assert said.grammars == ["", "", FORMAT]


@pytest.mark.parametrize(
    "dodge",
    [
        [RETURN],
        ["Hello", " there", RETURN],
        [CHANNEL, "final Hello there", RETURN],
        [CHANNEL, "final Hello", END, RETURN],
        [CHANNEL, "final", RETURN],
        [CHANNEL, "commentary to=functions.evil", MESSAGE],
        [START, "user", MESSAGE],
    ],
)
def test_an_answer_follows_its_grammar_whatever_the_model_does_instead(dodge):
    said = run(dodge, ["{}"], answer=FORMAT)
    assert (said.outcome, said.grammars) == (("{}", None, "stop"), ["", FORMAT])


def test_beside_a_format_all_other_text_is_reasoning():
    said = run(
        [CHANNEL, "commentary", MESSAGE],
        ["I will.", END, START, "assistant", *ANSWERING],
        ["{}"],
        answer=FORMAT,
        tools=TOOL,
    )
    assert (said.reasoning, *said.outcome) == ("I will.", "{}", None, "stop")
    assert said.turn.reasoning_tokens == 2  # with its end


def test_a_format_leaves_the_tools_to_be_called():
    said = run(CALLING, ["{}"], answer=FORMAT, tools=TOOL)
    assert (said.outcome, said.grammars) == (
        ("", ("ls", "{}"), "tool_calls"),
        ["", LS],
    )


def test_text_under_a_grammar_may_spell_markers():
    text = ['{"a": "', "<|end|>", "<|start|>user<|message|>", '"}']
    assert run(ANSWERING, text, answer=FORMAT).content == "".join(text)
    tokens = ['{"a": "', END, START, '"}']  # as one token each, where a schema spells them
    assert run(ANSWERING, tokens, answer=FORMAT).content == '{"a": "<|end|><|start|>"}'


def test_control_tokens_are_banned_under_a_grammar_and_nowhere_else():
    said = run(ANSWERING, ["{}"], answer=FORMAT)
    header, body = said.engine.completions
    assert header.logit_bias == {}
    assert body.logit_bias.keys() == set(IDS.values()) - {IDS[RETURN], IDS[CALL]}
    assert not body.stop


@pytest.mark.parametrize("broken", [['{"a"', RETURN], ["{", RETURN], ["{}}"], ["hello"], [""]])
def test_json_that_breaks_is_the_engines_failure(broken):
    with pytest.raises(UpstreamError, match="left the grammar"):
        run(ANSWERING, broken, answer=FORMAT)


def test_numbers_too_large_for_a_float_are_json():
    assert run(ANSWERING, ["1e999"], answer=FORMAT).content == "1e999"


def test_an_answer_need_not_be_json():
    choice = choice_grammar(["maybe", "no"])
    assert run(ANSWERING, ["may", "be"], answer=choice).outcome == ("maybe", None, "stop")
    with pytest.raises(UpstreamError, match="left the grammar"):
        run(ANSWERING, ["may"], answer=choice)


# ------------------------------------------------------------------------- markers and what spells them


def test_text_that_spells_a_marker_stays_text():
    said = run(
        THINKING,
        ["say ", "<|mess", "age|>", "never sampled"],
        [" now", END, START, "assistant", *ANSWERING],
        ["<|end|>", "<|return|>", RETURN],
        tools=TOOL,
    )
    assert said.reasoning == "say <|message|> now"
    assert said.content == "<|end|><|return|>"


def test_a_marker_out_of_place_is_noise():
    said = run(ANSWERING, ["a", MESSAGE], ["b", CONSTRAIN, "c", RETURN], tools=TOOL)
    assert said.content == "abc"


@pytest.mark.parametrize("text", ["<|end|>", "x<|start|>user<|channel|>y", "<|<|end|>|>"])
def test_no_text_of_a_prompt_holds_a_whole_marker(text):
    said = run(THINKING, [text, END, START, "assistant", *ANSWERING], ["yes", RETURN], tools=TOOL)
    parts = [part for c in said.engine.completions for part in c.prompt if isinstance(part, str)]
    assert not [part for part in parts for marker in Marker if marker in part]
    assert text in said.last_prompt


# ------------------------------------------------------------------------------------- stop strings


def test_the_answer_ends_before_a_stop_string():
    said = run([*ANSWERING, "one ST", "OP two", RETURN], stop=["STOP"])
    assert said.outcome == ("one ", None, "stop")


def test_text_that_did_not_become_a_stop_string_is_said_in_the_end():
    assert run([*ANSWERING, "one ST", RETURN], stop=["STOP"]).content == "one ST"
    assert run([*ANSWERING, "one ST"], stop=["STOP"], max_tokens=4).content == "one ST"


def test_reasoning_is_not_searched_for_stop_strings():
    said = run(
        [CHANNEL, "analysis", MESSAGE, "a STOP", END, START, "assistant", *ANSWERS], stop=["STOP"]
    )
    assert (said.reasoning, said.content) == ("a STOP", "yes")


def test_arguments_are_not_searched_for_stop_strings():
    assert run(CALLING, ['{"a": 1}'], tools=TOOL, stop=[":"]).call == ("ls", '{"a": 1}')


def test_a_constrained_answer_may_be_cut_by_a_stop_string():
    said = run(ANSWERING, ['{"a"', ": 1}"], answer=FORMAT, stop=[":"])
    assert said.outcome == ('{"a"', None, "stop")


def test_a_stop_string_may_be_a_marker_that_the_model_spells():
    said = run(ANSWERING, ["a <|message|> b", RETURN], tools=TOOL, stop=["<|message|>"])
    assert (said.content, len(said.engine.completions)) == ("a ", 2)


# ------------------------------------------------------------------------------------------ lengths


@pytest.mark.parametrize(
    ("budget", "scripts", "rules", "outcome"),
    [
        (2, [THINKS], {}, ("", None, "length")),
        (4, [THINKS], {}, ("", None, "length")),
        (4, [[*ANSWERING, "yes", "no"]], {}, ("yes", None, "length")),
        (1, [CALLING], {"tools": TOOL}, ("", None, "length")),
        (3, [ANSWERING], {"tools": TOOL}, ("", None, "length")),  # exactly a segment
        (4, [ANSWERING, ["{", "}"]], {"answer": FORMAT}, ("{", None, "length")),
        (6, [CALLING, ["{", "}"]], {"tools": TOOL}, ("", ("ls", "{"), "length")),
        (5, [CALLING], {"tools": TOOL}, ("", ("ls", ""), "length")),
        (3, [ANSWERING], {"tools": TOOLS, "must_call": True}, ("", None, "length")),
        (4, [ANSWERING, ["l", "s"]], {"tools": TOOLS, "must_call": True}, ("", None, "length")),
        (4, [[CHANNEL, "commentary to=evil", "x", "y"]], {"tools": TOOL}, ("", None, "length")),
    ],
)
def test_a_turn_ends_where_its_budget_does(budget, scripts, rules, outcome):
    said = run(*scripts, max_tokens=budget, **rules)
    assert (said.outcome, said.turn.completion_tokens) == (outcome, budget)


def test_an_answer_that_ends_with_its_budget_is_whole():
    said = run(ANSWERING, ["{}"], answer=FORMAT, max_tokens=5)
    assert (said.outcome, said.turn.completion_tokens) == (("{}", None, "stop"), 5)


def test_each_segment_gets_what_is_left_of_the_budget():
    said = run(THINKING, [*THOUGHT, *ANSWERING], ["yes", RETURN], tools=TOOL, max_tokens=50)
    assert [completion.max_tokens for completion in said.engine.completions] == [50, 47, 40]


def test_a_turn_that_fills_the_context_ends_there():
    said = run(THINKING, [*THOUGHT, *ANSWERING], tools=TOOL, max_tokens=None, full_after=2)
    assert (said.reasoning, *said.outcome) == ("hm", "", None, "length")


def test_a_prompt_that_does_not_fit_is_the_callers_mistake():
    with pytest.raises(InvalidRequest, match="too long"):
        run(full_after=0)


# -------------------------------------------------------------------------------------------- usage


def test_usage_counts_what_was_sampled_once():
    said = run(THINKING, [*THOUGHT, *ANSWERING], ["yes", RETURN], tools=TOOL)
    turn = said.turn
    assert (turn.prompt_tokens, turn.cached_tokens) == (len(PROMPT), 3)
    assert (turn.completion_tokens, turn.reasoning_tokens) == (3 + 7 + 2, 2)


def test_what_was_written_for_the_model_does_not_count():
    said = run(["{}"], think=False, tools=TOOL, must_call=True)
    assert said.turn.completion_tokens == 2  # with the terminator


def test_tokens_that_were_taken_back_count():
    said = run(ANSWERING, ["{}"], tools=TOOL, must_call=True)
    assert said.turn.completion_tokens == 3 + 2


# ------------------------------------------------------------------------------- log-probabilities


@pytest.mark.parametrize(
    ("stop", "content", "tokens"),
    [
        ([], "first second and< never", ["first", " second", " and", "<", " never"]),
        (["never"], "first second and< ", ["first", " second", " and", "<", " never"]),
        (["rst s"], "fi", ["first"]),  # the token in which a stop string begins was said in part
        ([" and<"], "first second", ["first", " second"]),
        (["ver more"], "first second and< never", ["first", " second", " and", "<", " never"]),
    ],
)
@pytest.mark.parametrize("tools", [{}, TOOL])
def test_the_log_probabilities_are_those_of_the_answers_tokens(stop, content, tokens, tools):
    words = ["first", " second", " and", "<", " never", RETURN]
    scripts = (
        [THINKING, [*THOUGHT, *ANSWERING], words] if tools else [[*THINKS, *ANSWERING, *words]]
    )
    said = run(*scripts, n_probs=1, stop=stop, tools=tools)
    assert said.content == content
    assert [p.token for s in said.spoken for p in s.logprobs] == tokens
    assert not [s for s in said.spoken if s.logprobs and not isinstance(s.delta, Content)]


def test_constrained_answers_have_log_probabilities_too():
    said = run(ANSWERING, ["{", "}"], n_probs=1, answer=FORMAT)
    assert [p.token for s in said.spoken for p in s.logprobs] == ["{", "}"]


# --------------------------------------------------------------------------------------- properties

WORDS = (
    ["assistant", "user", "analysis", "final", "commentary", " to=functions.ls", " to=functions."],
    ["evil", " to=evil", "json", " ", "{", "hi", "<|message|>", "<|", "end|>", "a", "\n"],
)
TOKENS = st.one_of(st.sampled_from(Marker), *map(st.sampled_from, WORDS))
SCRIPTS = st.lists(st.lists(TOKENS, max_size=12), min_size=12, max_size=12)


class RandomEngine(ScriptedEngine):
    """Says anything, except under a grammar: there it obeys."""

    @asynccontextmanager
    async def complete(self, completion: Completion):
        under = {LS: ["{}"], RM: ["{}"], FORMAT: ["[]"]}
        if completion.grammar:
            obeyed = under.get(
                completion.grammar, ["rm"] if '"rm"' in completion.grammar else ["ls"]
            )
            self._scripts.insert(0, obeyed)
        elif not self._scripts:
            self._scripts.append([RETURN])
        async with super().complete(completion) as output:
            yield output


def run_randomly(scripts, max_tokens, **rules) -> Said:
    engine = RandomEngine(*scripts)
    turn = Turn(
        engine,  # type: ignore[arg-type]
        prompt=PROMPT,
        markers={marker.value: id_ for marker, id_ in IDS.items()},
        sampling=Completion(prompt=(), max_tokens=max_tokens),
        rules=Rules(**rules),
    )
    said = Said(turn, engine)

    async def main() -> None:
        async for batch in turn.run():
            said.spoken += batch

    asyncio.run(main())
    for completion in engine.completions:
        texts = [part for part in completion.prompt if isinstance(part, str)]
        assert not [text for text in texts for marker in Marker if marker in text]
    assert turn.completion_tokens <= max_tokens
    assert 0 <= turn.reasoning_tokens <= turn.completion_tokens
    return said


BUDGETS = st.integers(1, 60)


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, BUDGETS)
def test_a_free_turn_never_calls(scripts, budget):
    said = run_randomly(scripts, budget)
    assert said.call is None
    assert said.turn.finish_reason in ("stop", "length")


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, BUDGETS, st.sampled_from([TOOL, TOOLS]))
def test_a_call_is_always_of_a_tool_with_arguments_under_its_grammar(scripts, budget, tools):
    said = run_randomly(scripts, budget, tools=tools)
    if said.call:
        name, arguments = said.call
        assert name in tools
        assert arguments in ("{}", "")
        assert arguments or said.turn.finish_reason == "length"


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, BUDGETS, st.sampled_from([TOOL, TOOLS]), st.booleans())
def test_a_required_call_comes_unless_the_budget_ends(scripts, budget, tools, think):
    said = run_randomly(scripts, budget, tools=tools, must_call=True, think=think)
    assert said.turn.finish_reason == "length" or said.call in [(name, "{}") for name in tools]


@settings(max_examples=150, deadline=None)
@given(SCRIPTS, BUDGETS, st.sampled_from([{}, TOOLS]))
def test_beside_a_format_all_content_is_under_its_grammar(scripts, budget, tools):
    said = run_randomly(scripts, budget, tools=tools, answer=FORMAT)
    if said.turn.finish_reason == "length":
        assert said.content in ("", "[]")
    else:
        assert (said.content == "[]") != (said.call is not None)
