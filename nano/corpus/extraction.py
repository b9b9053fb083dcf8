"""Dialogues in which data are taken out of a text, as JSON under a schema or as asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from nano.corpus import values, words
from nano.corpus.aliases import Aliases
from nano.corpus.dialogue import Dialogue, Setting, Thought
from trunkline.wire.harmony import Effort, ResponseFormat

_SLOT = re.compile(r"\{(\w+)\}")
_HELPERS = (
    "You are a helpful assistant designed to output JSON.",
    "Extract the data.",
    "You extract data and answer with JSON only.",
    "Return JSON.",
    "You read texts and fill in forms.",
)


@dataclass(frozen=True)
class _Field:
    """A field: how the schema calls it, its value, and its schema.

    Of a ``riddle`` nothing tells the meaning: it is what remains when all others are found.
    """

    key: str
    value: Any
    schema: Mapping[str, Any]
    riddle: bool = False


def extraction(random: Random, effort: Effort, date: str) -> list[Dialogue]:
    """Returns dialogues under one schema, or one dialogue without a schema."""
    with_schema = random.random() < 0.75
    realistic = random.random() < 0.6
    domain = words.pick(random, "extraction.domain") if realistic else None
    text, fields = _realistic(random, domain) if domain else _made_up(random)
    keys = _chosen(random, fields)
    wanted = [field for field in fields if field.key in keys]
    random.shuffle(wanted)
    if random.random() < 0.6:  # most schemas follow the text
        wanted.sort(key=lambda field: text.find(str(field.value)))
    instructions = random.choice(_HELPERS) if random.random() < 0.35 else None
    setting = Setting(
        effort=effort,
        date=date,
        instructions=instructions,
        formats=(_format(random, domain, wanted),) if with_schema else (),
    )
    dialogue = Dialogue("extraction", setting).user(
        _asked(random, text, [field.key for field in wanted], with_schema=with_schema)
    )
    found = {field.key: field.value for field in wanted}
    told = ", ".join(f"{key} is {value}" for key, value in found.items() if len(str(value)) < 40)
    thought = Thought("The user wants JSON.", "I copy the values.", f"{told}.")
    return [dialogue.answer(thought, words.dumps(found))]


def _chosen(random: Random, fields: Sequence[_Field]) -> set[str]:
    keys = [field.key for field in fields]
    if any(field.riddle for field in fields):
        return set(keys)
    count = min(len(keys), random.choice((1, 2, 2, 3, 3, 3, 4, 5)))
    return set(random.sample(keys, count))


def _realistic(random: Random, domain: Mapping[str, Any]) -> tuple[str, list[_Field]]:
    text = random.choice(domain["texts"])
    slots = set(_SLOT.findall(text))
    fields, said = [], {}
    taken: set[str] = set()
    for entry in domain["fields"]:
        slot = entry["keys"][0]
        if slot not in slots:
            continue
        key = random.choice([key for key in entry["keys"] if key not in taken] or [slot])
        taken.add(key)
        value, schema = _listed_value(random, entry)
        said[slot] = str(value)
        fields.append(_Field(key, value, schema))
    text, fields = _renamed(random, text, fields)
    text = _SLOT.sub(lambda match: said.get(match[1], match[1]), text)
    if random.random() < 0.2:
        more = words.sentences(random, 1)
        text = f"{text} {more}" if random.random() < 0.6 else f"{more} {text}"
    return text, fields


def _renamed(random: Random, text: str, fields: list[_Field]) -> tuple[str, list[_Field]]:
    """Puts words that do not exist in the place of most keys that the text names, and of one other."""
    if random.random() < 0.3:
        return text, fields
    spoken = set(re.findall(r"\w+", _SLOT.sub("", text).lower()))
    aliases = Aliases(random, 0.6)
    for field in fields:
        if field.key in spoken:
            aliases.add(field.key)
    renamed = [replace(field, key=aliases.text(field.key)) for field in fields]
    unspoken = [field for field in fields if field.key not in spoken]
    if unspoken and random.random() < 0.35:
        riddle = random.choice(unspoken)
        name = words.made_up(random)
        place = fields.index(riddle)
        renamed[place] = replace(riddle, key=name, riddle=True)
    if len({field.key for field in renamed}) < len(renamed):
        return text, fields
    return aliases.around_slots(text), renamed


def _listed_value(random: Random, entry: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    if options := entry.get("values"):
        schema = {"type": "string"} | ({"enum": options} if random.random() < 0.6 else {})
        return random.choice(options), schema
    kind = values.KINDS[entry["kind"]]
    if bounds := entry.get("range"):
        return random.randint(*bounds), kind.schema
    return kind.draw(random), kind.schema


def _made_up(random: Random) -> tuple[str, list[_Field]]:
    """A text about a thing that does not exist, whose properties are named in it."""
    fields: list[_Field] = []
    taken: set[str] = set()
    while len(fields) < random.choice((2, 3, 3, 4)):
        key = _key(random)
        if key in taken:
            continue
        taken.add(key)
        kind = values.KINDS[random.choice(values.TOLD_KINDS)]
        value = kind.draw(random)
        if value not in [field.value for field in fields]:
            fields.append(_Field(key, value, kind.schema))
    thing = words.made_up(random, capital=True)
    spoken = [(field.key.replace("_", " "), field.value) for field in fields]
    style = random.randrange(6)
    if style == 0:
        parts = [f"its {key} is {value}" for key, value in spoken]
        return f"{thing} is a {words.noun(random)[0]}; {words.listing(parts)}.", fields
    if style == 1:
        return "\n".join(f"{key.capitalize()}: {value}" for key, value in spoken), fields
    if style == 2:
        return ", ".join(f"{key}: {value}" for key, value in spoken), fields
    if style == 3:
        parts = [f"the {key} {value}" for key, value in spoken]
        return f"{thing} has {words.listing(parts)}.", fields
    if style == 4:
        return " ".join(f"The {key} of {thing} is {value}." for key, value in spoken), fields
    parts = [f"the {key} is {value}" for key, value in spoken]
    return f"For {thing} {words.listing(parts)}.", fields


def _key(random: Random) -> str:
    chance = random.random()
    if chance < 0.45:
        name = str(words.pick(random, "words.nouns")[0])
    elif chance < 0.6:
        name = words.made_up(random)
    else:
        kind = values.KINDS[random.choice(values.PARAMETER_KINDS)]
        name = random.choice(kind.names)
    return name.replace(" ", "_").replace("-", "_").lower()


def _format(
    random: Random, domain: Mapping[str, Any] | None, wanted: Sequence[_Field]
) -> ResponseFormat:
    name = domain["name"].replace(" ", "_") if domain and random.random() < 0.7 else random.choice(("answer", "result", "data", "record", "extraction", words.made_up(random)))  # fmt: skip
    properties: dict[str, Any] = {}
    for field in wanted:
        properties[field.key] = dict(field.schema)
        if random.random() < 0.1:
            properties[field.key]["description"] = f"The {field.key.replace('_', ' ')}"
        if random.random() < 0.06:
            properties[field.key]["title"] = field.key.replace("_", " ").title()
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if random.random() < 0.9:
        schema["required"] = [field.key for field in wanted]
    if random.random() < 0.5:
        schema["additionalProperties"] = False
    if random.random() < 0.08:
        schema = {"title": name.capitalize(), **schema}
    return ResponseFormat(name=name, schema=schema)


def _asked(random: Random, text: str, keys: Sequence[str], *, with_schema: bool) -> str:
    spoken = [key.replace("_", " ") for key in keys] if random.random() < 0.6 else list(keys)
    listed = words.listing(spoken)
    if len(spoken) > 2 and random.random() < 0.3:
        listed = f"{', '.join(spoken[:-1])}, and {spoken[-1]}"
    quoted = random.choice((text, text, text, f"'{text}'", f'"{text}"'))
    if with_schema and random.random() < 0.45:
        return random.choice(
            (
                quoted,
                f"Extract the data: {quoted}",
                f"Extract the data from this text: {quoted}",
                f"{text} Extract this as JSON.",
                f"Fill in the form. {text}",
                f"Please parse: {text}",
                f"What does this say? {text}",
            )
        )
    return random.choice(
        (
            f"Extract the {listed} from the following sentence: {quoted}",
            f"Extract the {listed} from the following text: {quoted}",
            f"Extract {listed} as JSON: {text}",
            f"Extract {listed}: {text}",
            f"Return JSON with the keys {listed}. Text: {text}",
            f"Give me the {listed} as JSON. {text}",
            f"{text} Give me the {listed} as JSON.",
            f"Read this and return the {listed} as JSON: {quoted}",
            f"{text}\n\nReturn {listed} as a JSON object.",
            f"What are the {listed} here, as JSON? {text}",
            f"Which {listed} does this name? Answer with JSON: {quoted}",
            f"Find {listed} in this note: {text}",
            f"Complete these fields: {listed}.\n\n{text}",
            f"{text}\n\nI need {listed} as JSON.",
            f"Take {listed} from here. {quoted}",
            f"Input: {text}\nFields: {listed}",
        )
    )
