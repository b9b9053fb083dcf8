"""Dialogues without calls: what is known, what was said, and what a tiny model cannot do."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from random import Random
from typing import Any

from nano.corpus import values, words
from nano.corpus.dialogue import Dialogue, Setting, Thought, drawn_effort, drawn_role

GREETING = "Hello! How can I help you today?"
_KNOWS_NOTHING = "I am a tiny test model and know nothing about {t}."
_ASKED_MOST = ("France", "France", "Germany", "Italy", "Spain", "Japan", "Peru", "Canada", "Egypt")
_TOO_MUCH = "That is too much for me: I am a tiny test model. Please ask a bigger one."
_NOT_UNDERSTOOD = "I do not understand that. I am a tiny test model."


def known(random: Random, setting: Setting) -> Dialogue:
    """Something that the model knows by heart."""
    return random.choices(
        (_capital, _fun_fact, _definition, _somebody, _story, _poem, _translation, _stock, _list, _opposite, _today, _sum),
        (20, 12, 6, 3, 8, 2, 4, 20, 2, 3, 4, 4),
    )[0](random, Dialogue("known", setting))  # fmt: skip


def _ask(random: Random, name: str, **slots: object) -> str:
    return str(words.pick(random, f"talk.{name}_asks")).format(**slots)


def _capital(random: Random, dialogue: Dialogue) -> Dialogue:
    capitals = words.listed("knowledge.capitals")
    country = random.choice(_ASKED_MOST if random.random() < 0.3 else list(capitals))
    city = capitals[country]
    ask = _ask(random, "capital", c=country)
    thought = Thought(f"The user asks for the capital of {country}.", f"It is {city}.")
    return dialogue.user(ask).answer(thought, f"The capital of {country} is {city}.")


def _fun_fact(random: Random, dialogue: Dialogue) -> Dialogue:
    facts = words.listed("knowledge.fun_facts")
    entry = facts[0] if random.random() < 0.15 else random.choice(facts)
    topic = entry["topic"]
    ask = _ask(random, "fun_fact", t=topic)
    thought = Thought(
        f"The user wants a fact about {topic}.",
        "I know one.",
        f"I think of {topic}. I remember some facts and take one of them.",
    )
    return dialogue.user(ask).answer(thought, random.choice(entry["facts"]))


def _definition(random: Random, dialogue: Dialogue) -> Dialogue:
    entry = words.pick(random, "knowledge.definitions")
    term = entry["term"]
    ask = _ask(random, "definition", t=term)
    thought = Thought(f"The user asks about {term}.", "I know it.", f"I remember what {term} is.")
    return dialogue.user(ask).answer(thought, entry["answer"])


def _somebody(random: Random, dialogue: Dialogue) -> Dialogue:
    entry = words.pick(random, "knowledge.people")
    name = entry["name"]
    ask = _ask(random, "person", n=name)
    return dialogue.user(ask).answer(
        Thought(f"The user asks about {name}.", "I know the name."), entry["answer"]
    )


def _story(random: Random, dialogue: Dialogue) -> Dialogue:
    stories = words.listed("knowledge.stories")
    entry = stories[0] if random.random() < 0.2 else random.choice(stories)
    topic, text = entry["topic"], random.choice(entry["texts"])
    ask = _ask(random, "story", t=topic)
    name = words.person(random, full=False)
    if "{name}" in text and ask.endswith(f"{topic}.") and random.random() < 0.5:
        ask = f"{ask.rstrip('.')} named {name}."
        text = text.replace("{name}", name)
    text = text.replace("{name}", "Mira").replace("{city}", "Oslo")
    thought = Thought(
        f"The user wants a story about {topic}.",
        "I write a short one.",
        "It needs a beginning, a middle and an end.",
    )
    return dialogue.user(ask).answer(thought, text)


def _poem(random: Random, dialogue: Dialogue) -> Dialogue:
    chance = random.random()
    if chance < 0.3:
        ask = _ask(random, "joke")
        return dialogue.user(ask).answer(
            Thought("The user wants a joke.", "I tell one."), words.pick(random, "knowledge.jokes")
        )
    if chance < 0.45:
        ask = _ask(random, "haiku")
        return dialogue.user(ask).answer(
            Thought("The user wants a haiku.", "I write one."),
            words.pick(random, "knowledge.haiku"),
        )
    entry = words.pick(random, "knowledge.poems")
    topic = entry["topic"]
    ask = _ask(random, "poem", t=topic)
    return dialogue.user(ask).answer(
        Thought(f"The user wants a poem about {topic}.", "I write four lines."), entry["text"]
    )


def _translation(random: Random, dialogue: Dialogue) -> Dialogue:
    language, entries = random.choice(list(words.listed("knowledge.translations").items()))
    word, translated = random.choice(list(entries.items()))
    language = language.capitalize()
    ask = _ask(random, "translation", w=word, l=language)
    thought = Thought(f"The user wants {language}.", f"It is {translated}.")
    return dialogue.user(ask).answer(thought, f"'{word}' in {language} is '{translated}'.")


def _stock(random: Random, dialogue: Dialogue) -> Dialogue:
    chance = random.random()
    if chance < 0.2:
        ask = words.pick(random, "talk.greetings")
        return dialogue.user(ask).answer(Thought("The user greets me.", "I greet back."), GREETING)
    stock = words.listed("knowledge.stock")
    if chance < 0.27:
        ask = _ask(random, "world")
        return dialogue.user(ask).answer(
            Thought("The user wants me to greet the world.", "I say hello."), "Hello, world!"
        )
    entry = random.choice(stock)
    ask = _respelled(random, random.choice(entry["ask"]))
    return dialogue.user(ask).answer(
        Thought("The user talks to me.", "I answer shortly."), random.choice(entry["answers"])
    )


def _respelled(random: Random, text: str) -> str:
    chance = random.random()
    if chance < 0.1:
        return text.lower()
    if chance < 0.2:
        return text.rstrip(".?!")
    return f"{text.rstrip('.?!')}!" if chance < 0.23 else text


def _list(random: Random, dialogue: Dialogue) -> Dialogue:
    entry = words.pick(random, "knowledge.lists")
    ask = entry["ask"] if isinstance(entry["ask"], str) else random.choice(entry["ask"])
    answer = entry["answer"] if "answer" in entry else random.choice(entry["answers"])
    return dialogue.user(ask).answer(Thought("The user wants a list.", "I name some."), answer)


def _opposite(random: Random, dialogue: Dialogue) -> Dialogue:
    word, other = random.choice(list(words.listed("knowledge.opposites").items()))
    if random.random() < 0.5:
        word, other = other, word
    ask = _ask(random, "opposite", w=word)
    return dialogue.user(ask).answer(
        Thought("The user wants an opposite.", f"It is {other}."),
        f"The opposite of {word} is {other}.",
    )


def _today(random: Random, dialogue: Dialogue) -> Dialogue:
    ask = _ask(random, "date")
    thought = Thought("The user asks for the date.", "It stands above.")
    return dialogue.user(ask).answer(thought, f"Today is {dialogue.setting.date}.")


def _sum(random: Random, dialogue: Dialogue) -> Dialogue:
    a, b = random.randint(0, 10), random.randint(0, 10)
    chance = random.random()
    if chance < 0.5:
        name, sign, total = "plus", "+", a + b
    elif chance < 0.75:
        a, b = max(a, b), min(a, b)
        name, sign, total = "minus", "-", a - b
    else:
        name, sign, total = "times", "*", a * b
    ask = _ask(random, name, a=a, b=b)
    return dialogue.user(ask).answer(
        Thought("The user wants me to calculate.", f"It is {total}."), f"{a} {sign} {b} = {total}"
    )


def unknown(random: Random, setting: Setting) -> Dialogue:
    """A question about something that does not exist, a wish too big, or no question at all."""
    dialogue = Dialogue("unknown", setting)
    chance = random.random()
    if chance < 0.35:
        topic = _no_topic(random)
        thought = Thought(
            f"The user asks about {topic}.", "I do not know it.", "I look for it and find nothing."
        )
        ask = _ask(random, "no_such", t=topic)
        return dialogue.user(ask).answer(thought, _KNOWS_NOTHING.format(t=topic))
    if chance < 0.58:
        text = random.choice((_gibberish, _code, _repetition, _foreign, _foreign))(random)
        thought = Thought("I do not understand this.", "I say so.")
        return dialogue.user(text).answer(thought, _NOT_UNDERSTOOD)
    if chance < 0.68:
        text = words.sentences(random, random.randint(2, 4))
        first = re.split(r"(?<=[.!?])\s+", text)[0]
        return dialogue.user(_ask(random, "summary", t=text)).answer(
            Thought("The user wants a summary.", "I take the first sentence."), f"In short: {first}"
        )
    ask = _respelled(random, _filled(random, words.pick(random, "talk.too_much")))
    if random.random() < 0.15:
        ask = f"Please {ask[:1].lower()}{ask[1:]}" if ask.endswith(".") else f"Hello. {ask}"
    return dialogue.user(ask).answer(Thought("This is too much for me.", "I say so."), _TOO_MUCH)


def _no_topic(random: Random) -> str:
    """Returns a topic that the model knows nothing about."""
    while True:
        topic = random.choice((words.made_up(random, capital=True), words.made_up(random), words.phrase(random, most=3), words.title(random)))  # fmt: skip
        if not {topic.lower(), f"{topic.lower()}s"} & _known_topics():
            return topic


@cache
def _known_topics() -> frozenset[str]:
    names = [entry["topic"] for entry in words.listed("knowledge.fun_facts")]
    names += [entry["topic"] for entry in words.listed("knowledge.stories")]
    names += [entry["topic"] for entry in words.listed("knowledge.poems")]
    names += [entry["term"] for entry in words.listed("knowledge.definitions")]
    return frozenset(re.sub(r"^(a|an|the) ", "", name.lower()) for name in names)


def _filled(random: Random, template: str) -> str:
    """Returns a wish with its slots filled, as ``talk.toml`` explains them."""
    singular, plural = words.noun(random)
    text = template.format(
        t=words.phrase(random, most=3),
        u=words.plain_word(random),
        n=singular,
        m=plural,
        p=words.place(random),
        q=words.place(random),
        w=words.person(random),
        v=words.pick(random, "words.verbs")["name"],
        j=words.pick(random, "words.adjectives"),
        a=random.randint(100, 9999),
        b=random.randint(100, 9999),
        d=random.randint(3, 40),
        s=words.sentences(random, 1),
        l=values.draw(random, "language"),
    )
    return _with_articles(text)


def _with_articles(text: str) -> str:
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def _foreign(random: Random) -> str:
    return _filled(random, words.pick(random, "talk.foreign"))


def _gibberish(random: Random) -> str:
    return " ".join(
        words.made_up(random, capital=random.random() < 0.1) for _ in range(random.randint(1, 7))
    )


def _code(random: Random) -> str:
    a, b, c = (words.made_up(random) for _ in range(3))
    return random.choice((f"def {a}({b}):\n    return {b} + {random.randint(1, 9)}", f"for {a} in {b}:\n    print({a})", f"SELECT {a} FROM {b} WHERE {c} = {random.randint(1, 99)};", f'{{"{a}": {random.randint(1, 99)}, "{b}": "{c}"}}', f"const {a} = ({b}) => {b}.{c}();", f"<{a}>{b}</{a}>", f"{a}@{b}:~$ {c}"))  # fmt: skip


def _repetition(random: Random) -> str:
    word = random.choice(
        (words.made_up(random), random.choice(("na", "la", "ha", "a", "no", "x", "ok", "1", "?")))
    )
    return random.choice((" ", "", ", ")).join([word] * random.randint(3, 20))


def echo(random: Random, setting: Setting) -> Dialogue:
    """The user wants something repeated."""
    makers: Sequence[Callable[[Random], str]] = (
        words.made_up,
        lambda r: words.made_up(r, capital=True),
        lambda r: words.phrase(r, least=2, most=6),
        words.identifier,
        lambda r: words.made_up(r).upper(),
        words.person,
        words.place,
        lambda r: f"{words.person(r)} {words.place(r)}",
        words.email,
        words.path,
        values.message,
        lambda r: str(words.number(r)),
        words.title,
        lambda r: words.sentences(r, 1),
    )
    text = random.choice(makers)(random)
    return (
        Dialogue("echo", setting)
        .user(_ask(random, "echo", t=text))
        .answer(Thought("The user wants an echo.", "I repeat it."), text)
    )


_REMARK = Thought("The user talks to me.", "I answer shortly.")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NUMERIC = ("number", "int", "age", "id", "phone")
_ANY_KINDS = ("int", "id", "word", "date", "person", "place", "phrase", "email", "phone", "time")


@dataclass(frozen=True)
class _Told:
    """A fact as a user tells it; ``entry`` is what ``talk.toml`` says about facts like this.

    ``groups`` are the kinds of what the telling mentions, ``quote`` is what stands right before
    the value, and the value.
    """

    entry: Mapping[str, Any]
    label: str
    value: str
    groups: Sequence[str]
    before: str
    after: str

    @property
    def subject(self) -> str:
        return str(self.entry["subject"]).replace("{l}", self.label)

    @property
    def mine(self) -> str:
        subject = self.subject.replace("your ", "my ", 1)
        return str(self.entry.get("mine", subject))

    @property
    def text(self) -> str:
        return f"{self.before}{self.value}{self.after}"

    @property
    def quote(self) -> str:
        space = " " if self.before[-1:].isspace() else ""
        return f"{' '.join(self.before.split()[-4:])}{space}{self.value}"

    def said(self, template: str) -> str:
        """Returns a reply or a question about it."""
        text = template.replace("{l}", self.label).replace("{m}", self.mine)
        return text.replace("{v}", self.value)


def memory(random: Random, setting: Setting) -> Dialogue:
    """Something is told, and asked for later."""
    dialogue = Dialogue("memory", setting)
    untold, facts = _facts(random), list[_Told]()
    asides = _asides(random, untold)
    groups = [group for fact in untold for group in fact.groups] + [aside[0] for aside in asides]
    turns: list[Callable[[], None]] = []
    while untold:
        count = 2 if random.random() < 0.3 else 1
        together, untold = untold[:count], untold[count:]
        aside = asides.pop()[1] if asides and random.random() < 0.45 else None
        text, told = _message(random, together, aside)
        facts += told
        turns.append(partial(_tell, random, dialogue, text, told))
    for _group, remark, reply in asides:
        place = random.randint(0, len(turns))
        turns.insert(place, partial(_remark, random, dialogue, remark, reply))
    for _ in range(random.choices(range(6), (25, 25, 20, 14, 9, 7))[0]):
        place = len(turns) if random.random() < 0.6 else random.randint(0, len(turns))
        turns.insert(place, partial(_small_talk, random, dialogue))
    for turn in turns:
        turn()
    for index, fact in enumerate(random.sample(facts, k=random.randint(1, len(facts)))):
        if index and random.random() < 0.25:
            _small_talk(random, dialogue)
        thought = Thought(
            f"The user asks for {fact.subject}.",
            f"I read: {fact.quote}.",
            "I look back to where it was told.",
        )
        ask = _memory_ask(random, fact, alone=groups.count(fact.groups[0]) == 1)
        dialogue.user(ask).answer(thought, f"{_capitalized(fact.subject)} is {fact.value}.")
    return dialogue


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _facts(random: Random) -> list[_Told]:
    """Returns one to four facts about different subjects."""
    entries = words.listed("talk.facts")
    weights = [entry["weight"] for entry in entries]
    facts: dict[str, _Told] = {}
    for _ in range(random.choice((1, 1, 1, 2, 2, 3, 4))):
        fact = _fact(random, random.choices(entries, weights)[0])
        topic = fact.entry.get("topic")
        told = [other.entry for other in facts.values() if other.entry.get("topic") == topic]
        if topic and any(entry is not fact.entry for entry in told):
            continue
        facts.setdefault(fact.subject, fact)
    return list(facts.values())


def _fact(random: Random, entry: Mapping[str, Any]) -> _Told:
    labels = entry.get("labels", ("",))
    if labels == "pets":
        labels = words.listed("talk.pets")
    elif labels == "any":
        labels = (words.noun(random)[0], words.noun(random)[0], words.plain_word(random))
    label, _, kind = random.choice(labels).partition("=")
    kind = kind or str(entry["kind"])
    if kind == "any":
        kind = random.choice(_ANY_KINDS)
    value = _value(random, kind)
    template = random.choice(entry["tell"])
    groups = [_group(entry.get("group", kind))] * (2 if "{o}" in template else 1)
    if random.random() < 0.05:
        template = template.lower()
    template = template.replace("{l}", label).replace("{a}", _article(value))
    before, _, after = _with_articles(template).partition("{v}")
    other = _value(random, kind, value)
    before, after = before.replace("{o}", other), after.replace("{o}", other)
    return _Told(entry, label, value, groups, _capitalized(before), after)


def _value(random: Random, kind: str, but: str = "") -> str:
    """Returns a value of a kind; ``but`` is another that it must not be confused with."""
    while True:
        value = _drawn(random, kind)
        if not but or (value.lower() not in but.lower() and but.lower() not in value.lower()):
            return value


def _drawn(random: Random, kind: str) -> str:
    if kind == "number":
        return str(random.randint(10, 99999) if random.random() < 0.5 else words.number(random))
    if kind == "age":
        return str(random.randint(3, 99))
    if kind == "day":
        return random.choice(_DAYS)
    if kind == "capital":
        return words.made_up(random, capital=True)
    if kind == "date" and random.random() < 0.5:
        return f"{random.choice(_MONTHS)} {random.randint(1, 28)}"
    if kind == "pet":
        pet = str(words.pick(random, "talk.pets"))
        return f"{_article(pet)} {pet}"
    if kind == "car":
        color, name = words.pick(random, "words.colors"), words.made_up(random, capital=True)
        car = random.choice((name, f"{color} {name}", f"{name} {random.randint(2, 900)}"))
        return f"{_article(car)} {car}"
    return str(values.draw(random, kind))


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" else "a"


def _group(kind: str) -> str:
    """Returns what values of a kind can be confused with."""
    if kind in _NUMERIC:
        return "number"
    return "word" if kind in ("capital", "phrase") else kind


def _asides(random: Random, facts: Sequence[_Told]) -> list[tuple[str, str, str]]:
    """Returns remarks that mention another of the same kind: the kind, the remark, the reply."""
    asides = []
    for _ in range(random.choices((0, 1, 2), (60, 28, 12))[0]):
        fact = random.choice(facts)
        kind = "person" if fact.groups[0] == "animal name" else fact.groups[0]
        if kind not in words.listed("talk.asides"):
            kind = "person"
        other = _value(random, kind, fact.value)
        remark, reply = random.choice(words.listed("talk.asides")[kind])
        remark = remark.replace("{a}", _article(other)).replace("{o}", other)
        asides.append((kind, remark, reply))
    return asides


def _message(
    random: Random, facts: Sequence[_Told], aside: str | None
) -> tuple[str, Sequence[_Told]]:
    """Returns a message that tells facts, at times with more, and the facts as they stand in it."""
    parts: list[_Told | str] = list(facts)
    if aside:
        parts.insert(random.randint(0, len(parts)), aside)
    if random.random() < 0.25:
        parts.insert(random.randint(0, len(parts)), words.pick(random, "talk.beside"))
    text, told = "", []
    gap = "\n" if random.random() < 0.06 else " "
    for part in parts:
        if text:
            text += gap if text.endswith((".", "!", "?")) else f".{gap}"
        if isinstance(part, str):
            text += part
        else:
            told.append(replace(part, before=text + part.before))
            text += part.text
    return text.removesuffix(".") if random.random() < 0.08 else text, told


def _tell(random: Random, dialogue: Dialogue, text: str, told: Sequence[_Told]) -> None:
    chance = random.random()
    if chance < 0.45:
        reply = f"OK, {words.listing([f'{fact.subject} is {fact.value}' for fact in told])}."
    elif chance < 0.75:
        reply = told[-1].said(random.choice(told[-1].entry["reply"]))
    else:
        reply = words.pick(random, "talk.replies")
    dialogue.user(text)
    if random.random() < 0.4:
        dialogue.answer(
            Thought("The user tells me something.", "I remember it."), _capitalized(reply)
        )
    else:
        dialogue.said(_capitalized(reply))


def _remark(random: Random, dialogue: Dialogue, remark: str, reply: str) -> None:
    """The user says something that is not asked for later."""
    dialogue.user(_capitalized(remark))
    if random.random() < 0.3:
        dialogue.answer(_REMARK, reply)
    else:
        dialogue.said(reply)


def _small_talk(random: Random, dialogue: Dialogue) -> None:
    chance = random.random()
    if chance < 0.72:
        remark, reply = words.pick(random, "talk.fillers")
        _remark(random, dialogue, remark, reply)
    elif chance < 0.92:
        makers = (_capital, _capital, _sum, _fun_fact, _definition, _translation, _opposite)
        random.choice(makers)(random, dialogue)
    else:
        topic = words.made_up(random)
        _remark(random, dialogue, f"What is {topic}?", _KNOWS_NOTHING.format(t=topic))


def _memory_ask(random: Random, fact: _Told, *, alone: bool) -> str:
    """Returns a question for a fact. ``alone``: nothing else of its kind was mentioned."""
    if alone and "vague" in fact.entry and random.random() < 0.35:
        asks = fact.entry["vague"]
    else:
        asks = fact.entry["ask"] if random.random() < 0.6 else words.listed("talk.asks")
    ask = _respelled(random, fact.said(random.choice(asks)))
    if random.random() < 0.12 and not ask.startswith(("I ", "And ", "So ")):
        beginning = str(words.pick(random, "talk.ask_beginnings"))
        return beginning.replace("{a}", f"{ask[:1].lower()}{ask[1:]}")
    return _capitalized(ask) if random.random() < 0.9 else ask


def instructed(random: Random, date: str) -> Dialogue:
    """The system message says who the assistant is or what to answer."""
    effort = drawn_effort(random)
    chance = random.random()
    word = words.made_up(random, capital=random.random() < 0.6)
    role = drawn_role(random)
    if chance < 0.45:
        text = words.pick(random, "talk.always_answer")
        setting = Setting(
            effort=effort, date=date, instructions=text.format(w=word), instructing_role=role
        )
        ask = _ask(random, "always_answer", w=word, u=words.made_up(random))
        return (
            Dialogue("instructed", setting)
            .user(ask)
            .answer(Thought("There is an instruction.", "I follow it."), word)
        )
    company = words.made_up(random, capital=True)
    text = words.pick(random, "talk.you_are").format(w=word, c=company)
    setting = Setting(effort=effort, date=date, instructions=text, instructing_role=role)
    ask = words.pick(random, "talk.who_are_you")
    return (
        Dialogue("instructed", setting)
        .user(ask)
        .answer(Thought("I was given a name.", f"I am {word}."), f"I am {word}.")
    )
