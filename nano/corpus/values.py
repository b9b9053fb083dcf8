"""Kinds of values: how one is drawn, called as a parameter, described and said in a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from nano.corpus import words

Draw = Callable[[Random], Any]

STRING: Mapping[str, Any] = {"type": "string"}
INTEGER: Mapping[str, Any] = {"type": "integer"}
NUMBER: Mapping[str, Any] = {"type": "number"}
BOOLEAN: Mapping[str, Any] = {"type": "boolean"}


@dataclass(frozen=True)
class Kind:
    """A kind of value. ``say`` are the ways in which a request mentions one, with ``{v}``."""

    draw: Draw
    schema: Mapping[str, Any] = field(default_factory=lambda: STRING)
    names: Sequence[str] = ()
    describe: Sequence[str] = ()
    say: Sequence[str] = ()


def _listed(name: str) -> Draw:
    return lambda random: words.pick(random, f"words.{name}")


def _listed_or_made_up(name: str, *, capital: bool = False) -> Draw:
    def draw(random: Random) -> str:
        if random.random() < 0.6:
            return words.made_up(random, capital=capital)
        return str(words.pick(random, f"words.{name}"))

    return draw


def _company(random: Random) -> str:
    if random.random() < 0.2:
        return str(words.pick(random, "words.companies"))
    tail = random.choice(("", "", " Inc", " GmbH", " Ltd", " Labs", " & Co", " Group", " Systems"))
    return words.made_up(random, capital=True) + tail


def _product(random: Random) -> str:
    name = str(words.pick(random, "words.products"))
    chance = random.random()
    if chance < 0.3:
        return f"{words.pick(random, 'words.colors')} {name}"
    if chance < 0.6:
        return f"{words.made_up(random, capital=True)} {name if random.random() < 0.5 else words.number(random)}"
    return name


def _phone(random: Random) -> str:
    return f"+{random.randint(1, 99)} {random.randint(100, 999)} {random.randint(1000, 99999)}"


def message(random: Random) -> str:
    """Returns a short sentence as somebody would write it."""
    return random.choice(
        (
            f"the {words.plain_word(random)} is {words.pick(random, 'words.adjectives')}",
            f"I will be at the {words.noun(random)[0]} at {words.clock(random)}",
            f"please bring the {words.plain_word(random)}",
            f"See you in {words.place(random)}",
            f"{words.made_up(random, capital=True)} has the {words.plain_word(random)}",
            f"we meet {words.person(random)} on {words.date(random)}",
            words.phrase(random, least=3, most=6),
        )
    )


def _question(random: Random) -> str:
    return random.choice(
        (
            f"What is {words.phrase(random, most=2)}?",
            f"How does the {words.plain_word(random)} work?",
            f"How do I {words.pick(random, 'words.verbs')['name']} a {words.noun(random)[0]}?",
            f"Which {words.noun(random)[1]} does it have?",
            f"Why is {words.made_up(random)} {words.pick(random, 'words.adjectives')}?",
        )
    )


KINDS: Mapping[str, Kind] = {
    "place": Kind(
        words.place,
        names=("city", "location", "place", "town", "city_name", "region", "area"),
        describe=("The city", "Name of the city", "Where it is", "The city and state, e.g. San Francisco, CA", "City name, e.g. Paris"),
        say=("in {v}", "in {v}", "for {v}", "at {v}", "near {v}", "of {v}"),
    ),
    "destination": Kind(words.place, names=("destination", "to", "arrival", "to_city"), describe=("Where to", "The destination"), say=("to {v}",)),
    "origin": Kind(words.place, names=("origin", "from", "departure", "from_city"), describe=("Where from", "The origin"), say=("from {v}",)),
    "country": Kind(_listed_or_made_up("countries", capital=True), names=("country", "nation", "market"), describe=("The country",), say=("in {v}", "for {v}", "of {v}")),
    "person": Kind(
        words.person,
        names=("name", "person", "user", "customer", "recipient", "author", "employee", "contact", "username", "client", "owner", "assignee"),
        describe=("Full name", "Name of the person", "Who it is for", "The person's name"),
        say=("for {v}", "of {v}", "to {v}", "by {v}", "called {v}", "named {v}", "{v}"),
    ),
    "id": Kind(
        words.identifier,
        names=("id", "number", "code", "key", "reference", "sku", "order_id", "ticket_id", "user_id", "account", "tracking_number", "item_id"),
        describe=("The id", "Unique identifier", "The number, e.g. A-1234", "Reference code"),
        say=("{v}", "with id {v}", "with the id {v}", "number {v}", "with the code {v}", "for {v}"),
    ),
    "query": Kind(
        lambda random: words.phrase(random, most=5),
        names=("query", "q", "topic", "text", "term", "keyword", "search", "subject"),
        describe=("What to search for", "The query", "Words to look for", "Search terms"),
        say=("for {v}", "about {v}", "on {v}", 'for "{v}"', "'{v}'", "matching {v}"),
    ),
    "title": Kind(words.title, names=("title", "subject", "label", "summary", "headline", "heading"), describe=("The title", "A short title"), say=("called {v}", 'with the title "{v}"', "titled {v}", "'{v}'")),
    "path": Kind(words.path, names=("path", "file", "filename", "file_path", "source"), describe=("Path of the file", "The file", "Where the file lies"), say=("{v}", "at {v}", "in {v}", "from {v}")),
    "email": Kind(words.email, names=("email", "to", "address", "recipient", "mail"), describe=("Mail address", "The recipient"), say=("to {v}", "for {v}", "at {v}", "with the email {v}")),
    "phone": Kind(_phone, names=("phone", "phone_number", "number"), describe=("Phone number",), say=("at {v}", "on {v}", "with the number {v}", "{v}")),
    "url": Kind(words.url, names=("url", "link", "website", "page"), describe=("The address", "Web page"), say=("{v}", "at {v}", "from {v}", "of {v}")),
    "date": Kind(words.date, names=("date", "day", "due_date", "start_date", "when"), describe=("The day as YYYY-MM-DD", "Date"), say=("on {v}", "for {v}", "by {v}")),
    "time": Kind(words.clock, names=("time", "at", "start", "hour"), describe=("Time of day", "HH:MM"), say=("at {v}",)),
    "count": Kind(words.number, INTEGER, names=("limit", "count", "quantity", "days", "page", "max_results", "size", "amount", "guests", "year", "minutes"), describe=("How many", "Number of results", "The number"), say=("with {n} {v}", "{n} {v}", "{v} {n}")),
    "int": Kind(words.number, INTEGER, names=("number", "value", "n"), say=("{v}", "for {v}", "of {v}")),
    "amount": Kind(words.amount, NUMBER, names=("amount", "price", "value", "weight", "total"), describe=("The amount",), say=("of {v}", "for {v}", "with {n} {v}")),
    "message": Kind(message, names=("message", "body", "content", "note", "text", "comment"), describe=("The text", "What to say"), say=('saying "{v}"', "with the text '{v}'", "that says {v}", ": {v}", 'with the message "{v}"')),
    "repository": Kind(words.repository, names=("repo", "repository", "repoName", "project"), describe=("owner/name", "GitHub repository in owner/repo format"), say=("in {v}", "of {v}", "for {v}", "in the repository {v}", "{v}")),
    "language": Kind(_listed_or_made_up("languages", capital=True), names=("language", "target_language", "lang"), describe=("The language",), say=("in {v}", "into {v}", "to {v}")),
    "color": Kind(_listed_or_made_up("colors"), names=("color", "colour"), describe=("The color",), say=("in {v}", "to {v}", "with the color {v}")),
    "food": Kind(_listed_or_made_up("foods"), names=("food", "dish", "ingredient", "meal"), describe=("The food",), say=("with {v}", "for {v}", "of {v}")),
    "animal": Kind(_listed_or_made_up("animals"), names=("animal", "species", "pet"), describe=("The animal",), say=("about {v}", "for {v}", "of {v}")),
    "product": Kind(_product, names=("product", "item", "article", "product_name"), describe=("The product", "Name of the item"), say=("for {v}", "of {v}", "the {v}", "{v}")),
    "company": Kind(_company, names=("company", "vendor", "supplier", "organization", "ticker"), describe=("The company",), say=("of {v}", "for {v}", "from {v}", "at {v}")),
    "profession": Kind(_listed_or_made_up("professions"), names=("profession", "job", "role", "occupation"), describe=("The job",), say=("as {v}", "for {v}")),
    "word": Kind(words.made_up, names=("word", "tag", "category", "group", "channel", "branch", "service", "host", "table", "device", "room"), describe=("The tag", "The name"), say=("{v}", "with the {n} {v}", "in {v}", "for {v}", "on {v}", "{n} {v}")),
    "phrase": Kind(lambda random: words.phrase(random, most=4), names=("description", "details", "reason", "task"), describe=("A description",), say=("about {v}", "for {v}", "on {v}", "'{v}'")),
    "question": Kind(_question, names=("question",), describe=("The question to ask",), say=("{v}",)),
    "hobby": Kind(_listed_or_made_up("hobbies"), say=("{v}",)),
    "instrument": Kind(_listed_or_made_up("instruments"), say=("{v}",)),
    "adjective": Kind(_listed("adjectives"), say=("{v}",)),
    "bool": Kind(lambda random: random.random() < 0.5, BOOLEAN, say=("with {n} {v}", "{n}: {v}")),
}  # fmt: skip

PARAMETER_KINDS = tuple(name for name, kind in KINDS.items() if kind.describe and kind.say)
"""The kinds that a tool's parameter can have."""

TOLD_KINDS = ("int", "int", "amount", "word", "word", "person", "id", "date", "time", "phrase", "place", "adjective", "product")  # fmt: skip
"""The kinds of what a text tells, or a tool's result; the more frequent ones twice."""

RESULT_KINDS = (*TOLD_KINDS, "bool")


def draw(random: Random, kind: str) -> Any:
    """Returns a value of a kind."""
    return KINDS[kind].draw(random)


def made_up_enum(random: Random) -> Mapping[str, Any]:
    """Returns an enumeration as ``words.toml`` lists them, half of them of words that do not exist."""
    if random.random() < 0.5:
        return words.pick(random, "words.enums")
    name = random.choice(
        (
            "mode",
            "type",
            "kind",
            "level",
            "category",
            "plan",
            "style",
            "class",
            words.made_up(random),
        )
    )
    adjective = random.random() < 0.3
    options = {
        str(words.pick(random, "words.adjectives")) if adjective else words.plain_word(random)
        for _ in range(random.randint(2, 5))
    } | {words.made_up(random)}
    values = sorted(options)
    random.shuffle(values)
    say = [
        "with {n} {v}",
        "as {v}",
        "in {v} {n}",
        "with the {n} {v}",
        "{n} {v}",
        "{n}: {v}",
        "using {v}",
        "in {v}",
    ]
    return {"name": name, "values": values, "say": say}
