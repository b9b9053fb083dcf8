"""Tools, and how somebody asks for what they do.

Half are the realistic ones of ``data/tools``; the others are built from verbs, nouns and parameters,
half of which do not exist: what is to be learned is to find the tool that a request speaks of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

from nano.corpus import values, words
from nano.corpus.aliases import Aliases, pieces

_GETTERS = frozenset({"get", "fetch", "find", "show", "lookup", "look_up", "read", "check", "retrieve", "view", "query"})  # fmt: skip
_SLOT = re.compile(r"\{(\w+)\}")
_FUNCTION_WORDS = frozenset({"a", "all", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "has", "have", "how", "i", "if", "in", "is", "it", "its", "many", "me", "much", "my", "of", "on", "one", "or", "that", "the", "there", "this", "to", "use", "was", "we", "were", "what", "when", "where", "which", "who", "whose", "will", "with", "you", "your"})  # fmt: skip
_RENAMED = 0.6  # of the nouns of realistic tools
_KEPT = frozenset({"weather", "docs"})  # groups of tools that are asked for under their own names
_LONGEST_QUOTE = 160  # characters
_WORD = re.compile(r"[^\W\d_]+")
_SAY_BY_NAME = ("with {n} {v}", "with the {n} {v}", "{n} {v}", "{n}: {v}", "using {v} as {n}", "where {n} is {v}")  # fmt: skip


def _alike(word: str, other: str) -> bool:
    """Whether two words are the same but for an ending."""
    stem = max(4, len(word) - 2)
    return word == other or (len(word) > 3 and other[:stem] == word[:stem])


@dataclass(frozen=True)
class Parameter:
    """A parameter; ``say`` are the ways in which a request mentions it, with ``{v}``."""

    name: str
    schema: Mapping[str, Any]
    draw: values.Draw
    say: Sequence[str] = ()
    required: bool = True

    @property
    def options(self) -> Sequence[str] | None:
        """The values of an enumeration."""
        return self.schema.get("enum")


@dataclass(frozen=True)
class Request:
    """What a user asks, and the call that serves it."""

    text: str
    arguments: Mapping[str, Any]
    argument: str
    """How the arguments are said, without the verb and the noun: ``in Paris``."""


@dataclass(frozen=True)
class Tool:
    """A tool. ``asks`` are whole requests with slots; without them they are built from its words."""

    name: str
    description: str
    parameters: Sequence[Parameter]
    verb: str
    noun: tuple[str, str]
    says: Sequence[str]
    asks: Sequence[str] = ()
    group: str = ""
    result: str | None = None

    def declaration(self) -> Mapping[str, Any]:
        """Returns the tool as a request offers it."""
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {parameter.name: dict(parameter.schema) for parameter in self.parameters},
        }
        if required := [parameter.name for parameter in self.parameters if parameter.required]:
            schema["required"] = required
        function: dict[str, Any] = {"name": self.name, "parameters": schema}
        if self.description:
            function["description"] = self.description
        return {"type": "function", "function": function}

    def request(self, random: Random) -> Request:
        """Returns a request for this tool, in other words each time."""
        return self._asked(random) if self.asks else self._built(random)

    def _asked(self, random: Random) -> Request:
        ask = random.choice(self.asks)
        slots = set(_SLOT.findall(ask))
        given = {p.name: p.draw(random) for p in self.parameters if p.name in slots}
        said = {p.name: _said(random, p, given[p.name]) for p in self.parameters if p.name in given}
        text = _SLOT.sub(lambda match: str(said[match[1]]), ask)
        argument = _SLOT.search(ask)
        about = f"for {said[argument[1]]}" if argument else ""
        return Request(text, self._completed(given), about)

    def _built(self, random: Random) -> Request:
        given: dict[str, Any] = {}
        parts: list[str] = []
        for parameter in self.parameters:
            if not parameter.required and random.random() < 0.5:
                continue
            if parameter.required and parameter.options and random.random() < 0.15:
                continue  # the first option is as good as any
            given[parameter.name] = parameter.draw(random)
            parts.append(_mention(random, parameter, given[parameter.name]))
        if random.random() < 0.25:
            random.shuffle(parts)
        argument = " ".join(parts)
        text = _tidied(_polite(random, self._wish(random, argument)))
        return Request(text, self._completed(given), argument)

    def _completed(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns the arguments in the schema's order; what must be there and was not said as well."""
        arguments: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name in given:
                arguments[parameter.name] = given[parameter.name]
            elif parameter.required and parameter.options:
                arguments[parameter.name] = parameter.options[0]
        return arguments

    def _words(self) -> list[str]:
        spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", self.name)
        return re.split(r"[\s_.-]+", spaced.lower())

    def quote(self, request: Request, offered: Sequence[Tool]) -> str:
        """Returns what stands in the declaration from a word of the request on, up to the name.

        Repeating it from there leads to the name, and repeating is what the model does best. It
        begins with the word that tells the tool best from the others that are offered.
        """
        ending = f"type {self.name}"
        values_ = request.arguments.values()
        said = {word for value in values_ for word in _WORD.findall(str(value).lower())}
        spoken = {word.lower() for word in _WORD.findall(request.text)} - said - _FUNCTION_WORDS
        places = [
            (match[0].lower(), match.start())
            for match in _WORD.finditer(self.description)
            if match[0].lower() not in _FUNCTION_WORDS
        ]
        told = [place for place in places if any(_alike(word, place[0]) for word in spoken)]
        named = [place for place in places if any(_alike(place[0], w) for w in self._words()[1:])]
        for found in (told, named):
            if found:
                _, start = min(found, key=lambda place: self._vagueness(place[0], offered))
                rest = self.description[start:]
                return ending if len(rest) > _LONGEST_QUOTE else f"{rest}\n{ending}"
        return ending

    def _vagueness(self, word: str, offered: Sequence[Tool]) -> tuple[int, bool, int]:
        others = [set(tool.vocabulary) for tool in offered if tool is not self]
        shared = sum(any(_alike(word, other) for other in words_) for words_ in others)
        return shared, word in ("get", "list", self.verb), -len(word)

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """All words of the description and the name."""
        return [*_WORD.findall(self.description.lower()), *self._words()]

    def _wish(self, random: Random, argument: str) -> str:
        singular, plural = self.noun
        listing = self.verb in ("list", "search")
        thing = (
            plural
            if listing
            else random.choice((f"the {singular}", f"the {singular}", f"a {singular}", singular))
        )
        chance = random.random()
        if chance < 0.12:
            return random.choice(
                (
                    f"Use {self.name} {argument}",
                    f"Call {self.name} {argument}",
                    f"Use the {self.name} tool {argument}",
                    f"Run {self.name} {argument}",
                )
            )
        if self.verb in _GETTERS and chance < 0.45:
            return random.choice(
                (
                    f"What is the {singular} {argument}?",
                    f"What's the {singular} {argument}?",
                    f"Tell me the {singular} {argument}.",
                    f"Do you know the {singular} {argument}?",
                    f"I need the {singular} {argument}.",
                    f"How is the {singular} {argument}?",
                    f"{singular.capitalize()} {argument}?",
                    f"What {singular} do we have {argument}?",
                )
            )
        if listing and chance < 0.45:
            return random.choice(
                (
                    f"Which {plural} are there {argument}?",
                    f"What {plural} do we have {argument}?",
                    f"Are there any {plural} {argument}?",
                    f"I need all {plural} {argument}.",
                )
            )
        say = random.choice(self.says) if random.random() < 0.6 else self.verb.replace("_", " ")
        return f"{say[:1].upper()}{say[1:]} {thing} {argument}."


def draw_tool(random: Random, aliases: Aliases) -> Tool:
    """Returns a tool."""
    if random.random() < 0.55:
        return _renamed(random, random.choice(words.listed("tools.tool")), aliases)
    return build(random, random.choice(words.listed("words.verbs")), words.noun(random))


def toolbox(random: Random, count: int) -> list[Tool]:
    """Returns so many tools of different names; some share a verb, a noun or a domain with the first."""
    aliases = Aliases(random, _RENAMED if random.random() < 0.8 else 0.0)
    first = draw_tool(random, aliases)
    tools, names, nouns = [first], {first.name}, {first.noun[0]}
    while len(tools) < count:
        related = random.random() < 0.4
        other = _relative(random, first, aliases) if related else draw_tool(random, aliases)
        clash = other.noun[0] in nouns and (other.verb == first.verb or other.noun != first.noun)
        if other.name in names or clash:
            continue
        tools.append(other)
        names.add(other.name)
        nouns.add(other.noun[0])
    random.shuffle(tools)
    return tools


def _relative(random: Random, tool: Tool, aliases: Aliases) -> Tool:
    if tool.group:
        same = [other for other in words.listed("tools.tool") if other.get("group") == tool.group]
        return _renamed(random, random.choice(same), aliases)
    verbs = words.listed("words.verbs")
    if random.random() < 0.5:
        return build(random, random.choice(verbs), tool.noun)
    verb = next(verb for verb in verbs if verb["name"] == tool.verb)
    return build(random, verb, words.noun(random))


def _renamed(random: Random, entry: Mapping[str, Any], aliases: Aliases) -> Tool:
    """Returns a tool of the data file, most often with other words for its nouns."""
    if entry["group"] in _KEPT:
        return realistic(entry)
    verb, *nouns = pieces(entry["name"])
    for noun in nouns:
        aliases.add(noun)
    if random.random() < 0.15:
        aliases.add(verb)
    parameters = [
        {
            **parameter,
            "name": aliases.text(parameter["name"]),
            "description": aliases.text(parameter.get("description", "")),
        }
        for parameter in entry["params"]
    ]
    if len({parameter["name"] for parameter in parameters}) < len(parameters):
        return realistic(entry)
    return realistic(
        {
            **entry,
            "name": aliases.name(entry["name"]),
            "description": aliases.text(entry["description"]),
            "params": parameters,
            "asks": [aliases.text(ask) for ask in entry["asks"]],
        }
    )


def realistic(entry: Mapping[str, Any]) -> Tool:
    """Returns a tool of the data file."""
    parameters = [_listed_parameter(parameter) for parameter in entry["params"]]
    parts = re.split(r"[\s_.-]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", entry["name"]).lower())
    thing = " ".join(parts[1:]) or parts[0]
    return Tool(
        name=entry["name"],
        description=entry["description"],
        parameters=parameters,
        verb=parts[0],
        noun=(thing, thing),
        says=(parts[0],),
        asks=entry["asks"],
        group=entry["group"],
        result=entry.get("result"),
    )


def _listed_parameter(entry: Mapping[str, Any]) -> Parameter:
    options = entry.get("values")
    kind = values.KINDS["word" if options else entry["kind"]]
    schema = dict(kind.schema)
    if entry.get("description"):
        schema["description"] = entry["description"]
    if options:
        schema["enum"] = options
    draw: values.Draw = (lambda random: random.choice(options)) if options else kind.draw
    say = ("as {v}", "in {v}", "with {n} {v}") if options else kind.say
    return Parameter(entry["name"], schema, draw, say, entry.get("required", True))


def build(random: Random, verb: Mapping[str, Any], noun: tuple[str, str]) -> Tool:
    """Returns a tool made of a verb and a noun, with one to three parameters."""
    name = verb["name"]
    count = random.choice((1, 1, 1, 1, 2, 2, 2, 3))
    parameters: list[Parameter] = []
    while len(parameters) < count:
        parameter = _parameter(random, first=not parameters)
        said_alike = {mention for other in parameters for mention in other.say} & set(parameter.say)
        if parameter.name not in {other.name for other in parameters} and not said_alike:
            parameters.append(parameter)
    if random.random() < 0.15:
        random.shuffle(parameters)
    thing = noun[1] if name in ("list", "search") else noun[0]
    return Tool(
        name=_named(random, name, thing),
        description=_described(random, name, noun, parameters),
        parameters=parameters,
        verb=name,
        noun=noun,
        says=verb["say"],
    )


def _parameter(random: Random, *, first: bool) -> Parameter:
    chance = random.random()
    if not first and chance < 0.45:
        return _enumeration(random)
    kind = values.KINDS[random.choice(values.PARAMETER_KINDS)]
    name, say = random.choice(kind.names), kind.say
    if chance > 0.85:
        name = words.made_up(random) if random.random() < 0.6 else words.noun(random)[0]
        say = _SAY_BY_NAME
    schema = dict(kind.schema)
    if random.random() < 0.5:
        schema["description"] = random.choice(kind.describe)
    return Parameter(name.replace(" ", "_"), schema, kind.draw, say, first or random.random() < 0.7)


def _enumeration(random: Random) -> Parameter:
    enum = values.made_up_enum(random)
    name, options = enum["name"], list(enum["values"])
    spoken = name.replace("_", " ")
    schema: dict[str, Any] = {"type": "string", "enum": options}
    if random.random() < 0.3:
        schema["description"] = f"The {spoken}"
    say = [mention.replace("{n}", spoken) for mention in enum["say"]]
    return Parameter(name, schema, lambda r: r.choice(options), say, random.random() < 0.6)


def _named(random: Random, verb: str, thing: str) -> str:
    verb, thing = verb.replace(" ", "_"), thing.replace(" ", "_").replace("-", "_")
    parts = thing.split("_")
    camel = "".join(part.capitalize() for part in parts)
    chance = random.random()
    if chance < 0.72:
        return _ascii(f"{verb}_{thing}")
    if chance < 0.84:
        return _ascii(verb + camel)
    if chance < 0.90:
        return _ascii(f"{thing}.{verb}")
    if chance < 0.94:
        return _ascii(f"{verb}-{thing}")
    if chance < 0.97:
        return _ascii(f"{words.made_up(random)}_{verb}_{thing}")
    return _ascii(f"{thing}_{verb}")


def _ascii(name: str) -> str:
    """Returns the name with what the API allows in one."""
    plain = name.translate(str.maketrans("áàäâéèíóöôúüñçß", "aaaaeeiooouuncs"))
    return re.sub(r"[^A-Za-z0-9_.-]", "", plain)


def _described(
    random: Random, verb: str, noun: tuple[str, str], parameters: Sequence[Parameter]
) -> str:
    if random.random() < 0.12:
        return ""
    singular, plural = noun
    verb = verb.replace("_", " ")
    thing = (
        plural
        if verb in ("list", "search")
        else random.choice((f"the {singular}", f"a {singular}", f"the {singular}"))
    )
    by = parameters[0].name.replace("_", " ")
    text = random.choice(
        (
            f"{verb.capitalize()} {thing}",
            f"{verb.capitalize()} {thing}.",
            f"{verb.capitalize()} {thing} by {by}",
            f"{verb.capitalize()} {thing} for a given {by}.",
            f"{verb.capitalize()}s {thing} of a {by}.",
            f"Use this to {verb} {thing}.",
        )
    )
    if random.random() < 0.1:
        text += f" {words.sentences(random, 1)}"
    return text


def _mention(random: Random, parameter: Parameter, value: Any) -> str:
    say = random.choice(parameter.say)
    if random.random() < 0.15:
        say = random.choice(
            ("with {n} {v}", "with the {n} {v}", "{n}: {v}", "{n} {v}", "and {n} {v}")
        )
    said = str(_said(random, parameter, value))
    return say.replace("{n}", parameter.name.replace("_", " ")).replace("{v}", said)


def _said(random: Random, parameter: Parameter, value: Any) -> Any:
    """Returns how a value is said: an option perhaps with a capital or with spaces."""
    if isinstance(value, bool):
        return str(value).lower()
    if parameter.options and random.random() < 0.5:
        spoken = str(value).replace("_", " ")
        return spoken.capitalize() if random.random() < 0.6 else spoken
    return value


def _polite(random: Random, wish: str) -> str:
    chance = random.random()
    if chance < 0.6 or wish.endswith("?"):
        return (
            wish
            if chance < 0.9
            else f"{random.choice(('Hi!', 'Hello,', 'Hey,', 'Quick question:', 'Hi there.'))} {wish}"
        )
    bare = wish[:1].lower() + wish[1:].rstrip(".")
    return random.choice((f"Please {bare}.", f"Can you {bare}?", f"Could you {bare}, please?", f"I want you to {bare}.", f"I would like to {bare}.", f"{wish} Thanks!", f"Can you please {bare}?", f"{bare}", f"Now {bare}."))  # fmt: skip


def _tidied(text: str) -> str:
    text = re.sub(r"\s+([:,?])", r"\1", re.sub(r"\s{2,}", " ", text)).strip()
    return re.sub(r" \.(?=\s|$)", ".", text).replace("?.", "?")
