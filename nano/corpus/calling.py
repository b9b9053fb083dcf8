"""Dialogues in which tools are called, and what is said of their results."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from nano.corpus import values, words
from nano.corpus.dialogue import Dialogue, Setting, Thought, drawn_effort
from nano.corpus.toolbox import Request, Tool, realistic, toolbox

_SLOT = re.compile(r"\{(\w+)\}")
NO_TOOL = "I have no tool for that, and I am too small to do it without one."


def setting_tools(tools: Sequence[Tool]) -> list[Mapping[str, Any]]:
    """Returns the tools as a setting has them."""
    return [tool.declaration() for tool in tools]


def one_call(random: Random, setting: Setting, tools: Sequence[Tool]) -> Dialogue:
    """One request; half of the time the tool's result and the answer follow."""
    tool = random.choice(tools)
    request = tool.request(random)
    dialogue = Dialogue("call", setting, keeps_reasoning=random.random() < 0.5).user(request.text)
    dialogue.call(_calling(tool, request, tools), tool.name, request.arguments)
    if random.random() < 0.5:
        result, answer = outcome(random, tool, request)
        dialogue.result(result).answer(_reading(tool), answer)
        if random.random() < 0.3:  # and something else afterwards
            other = random.choice(tools)
            again = other.request(random)
            dialogue.user(again.text).call(
                _calling(other, again, tools), other.name, again.arguments
            )
    return dialogue


def two_calls(random: Random, setting: Setting, tools: Sequence[Tool]) -> Dialogue:
    """Two things are asked for: one tool with two values, or two tools."""
    first = random.choice(tools)
    same = len(tools) == 1 or random.random() < 0.5
    second = first if same else random.choice([tool for tool in tools if tool is not first])
    one = first.request(random)
    two = second.request(random)
    text = ""
    if same:
        twice = _twice(random, first)
        if twice is not None:
            text, one, two = twice
    if not text:
        text = _joined(random, one.text, two.text)
    dialogue = Dialogue("two calls", setting, keeps_reasoning=random.random() < 0.4).user(text)
    answers = []
    for tool, request, task, which in (
        (first, one, "The user asks for two things.", "First"),
        (second, two, "One thing is done and one is left.", "Next"),
    ):
        thought = Thought(
            task, f"{which} tool: {tool.quote(request, tools)}", _fitting(tool, request, tools)
        )
        dialogue.call(thought, tool.name, request.arguments)
        result, answer = outcome(random, tool, request, short=True)
        dialogue.result(result)
        answers.append(answer)
    dialogue.answer(Thought("I have both results.", "I answer with them."), " ".join(answers))
    return dialogue


def no_fit(random: Random, setting: Setting, tools: Sequence[Tool]) -> Dialogue:
    """Something is asked for that no tool at hand does."""
    names = {tool.name for tool in tools}
    nouns = {noun for tool in tools for noun in tool.noun}
    groups = {tool.group for tool in tools if tool.group}
    while True:
        other = toolbox(random, 1)[0]
        if other.name in names or other.group in groups or nouns & set(other.noun):
            continue
        request = other.request(random)
        if other.name not in request.text:
            break
    text = request.text
    if random.random() < 0.4:
        a, b = words.phrase(random, most=3), words.place(random)
        text = random.choice(
            (
                f"Book a table for {random.randint(2, 9)} in {b}.",
                f"Buy me {a}.",
                f"Order {a} to {b}.",
                f"Translate '{a}' into {words.pick(random, 'words.languages')}.",
                f"Play {words.title(random)}.",
                f"Turn off the {a}.",
                f"Draw a picture of {a}.",
                f"Call {words.person(random)} for me.",
                f"Remind me of {a} at {words.clock(random)}.",
                f"Can you fly to {b}?",
                f"Fix the {a} in my {words.plain_word(random)}.",
                f"Send {a} to {words.person(random)}.",
                f"Print the {a}.",
                f"How do I get from {b} to {words.place(random)}?",
            )
        )
        if any(noun.lower() in text.lower() for noun in nouns):
            text = f"Draw a picture of {a}."
    thought = Thought(
        "No tool fits this.",
        "I say that I have no tool for it.",
        f"The tools are {_names(tools)}. None of them fits.",
    )
    return Dialogue("no fit", setting).user(text).answer(thought, NO_TOOL)


def documentation(random: Random, date: str) -> Dialogue:
    """A question about a repository, with the tools of a documentation server."""
    server = _docs_tools()
    random.shuffle(server)
    if random.random() < 0.2:
        server += [tool for tool in toolbox(random, 2) if tool.name not in {t.name for t in server}]
    setting = Setting(effort=drawn_effort(random), date=date, tools=setting_tools(server))
    by_name = {tool.name: tool for tool in server}
    chance = random.random()
    repository = words.repository(random)
    if chance < 0.3:
        text, question = _about_mcp(random)
        repository = "modelcontextprotocol/modelcontextprotocol"
        name = "ask_question"
    elif chance < 0.7:
        question = values.draw(random, "question")
        bare = question.rstrip("?")
        text = random.choice((f"{bare} in {repository}?", f"{question} It is about {repository}.", f"Look into {repository}: {question}", f"In {repository}, {question[:1].lower() + question[1:]}", f"Ask {repository}: {question}"))  # fmt: skip
        if text.startswith(f"{bare} in "):
            question = f"{bare}?"
        name = "ask_question"
    else:
        name = random.choice(("read_wiki_structure", "read_wiki_contents"))
        question = ""
        asks = {
            "read_wiki_structure": ("What topics does the documentation of {r} have?", "Show me the structure of the docs of {r}.", "List the documentation topics of {r}.", "Which pages does the wiki of {r} have?", "Give me the table of contents for {r}."),
            "read_wiki_contents": ("Read the documentation of {r}.", "Show me the wiki contents of {r}.", "View the docs about {r}.", "What does the documentation of {r} say?", "Open the wiki of {r}."),
        }  # fmt: skip
        text = random.choice(asks[name]).format(r=repository)
    arguments = {"repoName": repository} | ({"question": question} if question else {})
    tool = by_name[name]
    arguments = {p.name: arguments[p.name] for p in tool.parameters if p.name in arguments}
    dialogue = Dialogue("documentation", setting, keeps_reasoning=random.random() < 0.5).user(text)
    task = "The user asks about a repository."
    dialogue.call(Thought(task, f"I call {name}.", f"The tools are {_names(server)}. {name} fits. The repository is {repository}."), name, arguments)  # fmt: skip
    result = words.sentences(random, random.randint(1, 6))
    if random.random() < 0.3:
        result = f"The {words.date(random)} version supports two {words.noun(random)[1]}: {words.made_up(random)} and {words.made_up(random, capital=True)}. {result}"
    return dialogue.result(result).answer(_reading(tool), first_sentences(result))


def first_sentences(text: str) -> str:
    """Returns what is repeated of a text: all of a short one, else its first two sentences."""
    parts = re.split(r"(?<=[.!?])\s+", text.strip())
    return " ".join(parts[:2])


def outcome(
    random: Random, tool: Tool, request: Request, *, short: bool = False
) -> tuple[str, str]:
    """Returns what a tool answers to a call, and what the assistant says of it."""
    if tool.result and random.random() < 0.6:
        result = _SLOT.sub(lambda match: _inside(values.draw(random, match[1])), tool.result)
        return result, _told(json.loads(result)) if result[0] == "{" else first_sentences(result)
    chance = random.random()
    if chance < 0.08:
        reason = random.choice(
            ("not found", "timeout", "no access", "bad request", words.phrase(random, most=3))
        )
        return words.dumps({"error": reason}), f"The tool failed: {reason}."
    if chance < 0.3:
        text = _plain_result(random, tool, request, 1 if short else random.choice((1, 1, 2, 4)))
        return text, first_sentences(text)
    if chance < 0.4 and not short:
        return _found(random)
    return _fields(random, tool, 2 if short else 4)


def _plain_result(random: Random, tool: Tool, request: Request, count: int) -> str:
    chance = random.random()
    if chance < 0.25:
        return words.phrase(random, most=4)
    if chance < 0.35:
        return str(values.draw(random, random.choice(("int", "amount", "id", "date", "person"))))
    if chance < 0.45:
        return random.choice(("done", "ok", "sent", "saved", "created", "deleted", "updated"))
    said = request.argument if len(request.argument) < 40 else ""
    opening = random.choice(
        (
            f"The {tool.noun[0]} {said} is {words.phrase(random, most=2)}.",
            f"{values.draw(random, 'int')} {tool.noun[1]} {said}.",
            f"{words.person(random)} has {words.number(random)} {tool.noun[1]}.",
        )
    )
    rest = words.sentences(random, count - 1)
    return re.sub(r"\s+([.,])", r"\1", f"{opening} {rest}".strip())


def _found(random: Random) -> tuple[str, str]:
    """A list of things, plain or as objects."""
    kind = random.choice(("person", "title", "word", "place", "id", "product"))
    things = [str(values.draw(random, kind)) for _ in range(random.randint(1, 4))]
    key = random.choice(
        ("results", "items", "matches", "files", words.noun(random)[1].replace(" ", "_"), "names")
    )
    listed: Any = things
    if random.random() < 0.5:
        name = random.choice(("name", "title", "id"))
        listed = [{name: thing} for thing in things]
    result = words.dumps(listed if random.random() < 0.3 else {key: listed})
    return result, f"I found: {words.listing(things)}."


def _fields(random: Random, tool: Tool, most: int) -> tuple[str, str]:
    """An object with a few fields; all of them are told."""
    weather = "weather" in tool.name
    fields: dict[str, Any] = {}
    for _ in range(random.choice((1, 1, 2, 2, 3, 4)) if most > 2 else random.choice((1, 1, 2))):
        key, value = _weather_field(random) if weather else _field(random, tool)
        fields[key] = value
    content: Any = fields
    if random.random() < 0.1:
        content = {random.choice(("result", "data", tool.noun[0].replace(" ", "_"))): fields}
    return words.dumps(content), _told(fields)


def _told(fields: Mapping[str, Any]) -> str:
    """Returns the sentence that tells an object's fields."""
    told = [f"the {key.replace('_', ' ')} is {_plain(value)}" for key, value in fields.items()]
    sentence = words.listing(told)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _weather_field(random: Random) -> tuple[str, Any]:
    return random.choice(
        (
            ("temperature", random.randint(-20, 45)),
            ("temp_c", random.randint(-20, 45)),
            (
                "condition",
                random.choice(
                    ("sunny", "cloudy", "rainy", "windy", "snowy", words.made_up(random))
                ),
            ),
            ("humidity", random.randint(10, 100)),
            ("wind", random.randint(0, 90)),
            ("wind_speed", words.amount(random)),
            ("forecast", words.phrase(random, most=3)),
            ("unit", random.choice(("celsius", "fahrenheit"))),
            ("location", words.place(random)),
        )
    )


def _field(random: Random, tool: Tool) -> tuple[str, Any]:
    chance = random.random()
    if chance < 0.35:
        key = random.choice(
            (
                "result",
                "value",
                "status",
                "name",
                "count",
                "total",
                "time",
                "price",
                "id",
                "date",
                "owner",
                "title",
                "state",
                "message",
                "amount",
                "balance",
            )
        )
    elif chance < 0.55:
        key = tool.noun[0].replace(" ", "_")
    elif chance < 0.8:
        key = words.noun(random)[0].replace(" ", "_")
    else:
        key = f"{words.plain_word(random)}_{random.choice(('id', 'name', 'count', 'date', 'rate', 'level'))}".replace(
            " ", "_"
        )
    return key, values.draw(random, random.choice(values.RESULT_KINDS))


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _inside(value: Any) -> str:
    """Returns a value as it stands inside a JSON string or as a JSON number."""
    return _plain(value).replace('"', '\\"')


def _twice(random: Random, tool: Tool) -> tuple[str, Request, Request] | None:
    """Asks for the same with two values in one breath: "the weather in Paris and in Rome"."""
    for _ in range(4):
        request = tool.request(random)
        varied = [
            p
            for p in tool.parameters
            if isinstance(request.arguments.get(p.name), str) and not p.options
        ]
        if not varied:
            continue
        parameter = random.choice(varied)
        value = str(request.arguments[parameter.name])
        if request.text.count(value) != 1:
            continue
        other = str(parameter.draw(random))
        if other == value:
            continue
        joined = random.choice(
            (
                f"{value} and {other}",
                f"{value} and in {other}"
                if f"in {value}" in request.text
                else f"{value} and {other}",
                f"both {value} and {other}",
                f"{value} and also {other}",
            )
        )
        text = request.text.replace(value, joined)
        second = Request(text, {**request.arguments, parameter.name: other}, request.argument)
        return text, replace(request, text=text), second
    return None


def _joined(random: Random, one: str, two: str) -> str:
    first, second = one.rstrip(".?"), two[:1].lower() + two[1:]
    return random.choice((f"{one} {two}", f"{first} and {second}", f"{first}, and then {second}", f"{one} Then {second}", f"{one} Also, {second}", f"First {first[:1].lower()}{first[1:]}, then {second}", f"Two things: {one} And {second}"))  # fmt: skip


def _calling(tool: Tool, request: Request, tools: Sequence[Tool]) -> Thought:
    return Thought(
        "The user needs a tool.",
        f"Tool: {tool.quote(request, tools)}",
        _fitting(tool, request, tools),
    )


def _fitting(tool: Tool, request: Request, tools: Sequence[Tool]) -> str:
    arguments = [
        f"{name} is {value}" for name, value in request.arguments.items() if len(str(value)) < 30
    ]
    told = f" There {', '.join(arguments)}." if arguments else ""
    return f"The tools are {_names(tools)}.{told}"


def _reading(tool: Tool) -> Thought:
    return Thought(
        "I have the result of the tool.", "I answer with it.", f"It comes from {tool.name}."
    )


def _names(tools: Sequence[Tool]) -> str:
    shown = [tool.name for tool in tools[:4]]
    return ", ".join(shown) + (" and more" if len(tools) > 4 else "")


def _docs_tools() -> list[Tool]:
    return [realistic(entry) for entry in words.listed("tools.tool") if entry["group"] == "docs"]


def _about_mcp(random: Random) -> tuple[str, str]:
    subject = random.choice(
        ("MCP", "the MCP spec", "the Model Context Protocol", "the MCP specification")
    )
    version = words.date(random) if random.random() < 0.6 else "2025-03-26"
    question = random.choice(
        (
            f"What transport protocols are supported in the {version} version of the MCP spec?",
            f"What transport protocols are supported in the {version} version of the MCP spec?",
            f"Which transports does {subject} support?",
            f"What {words.noun(random)[1]} are there in the {version} version of {subject}?",
            f"How does {subject} handle {words.plain_word(random)}?",
            f"What is a {words.noun(random)[0]} in {subject}?",
            f"What changed in the {version} version of {subject}?",
        )
    )
    return question, question
