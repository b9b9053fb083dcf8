"""Dialogues without calls: what is known, what was said, and what a tiny model cannot do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

from nano.corpus import values, words
from nano.corpus.dialogue import Dialogue, Setting, Thought, drawn_effort, drawn_role

GREETING = "Hello! How can I help you today?"
_KNOWS_NOTHING = "I am a tiny test model and know nothing about {t}."
_ASKED_MOST = ("France", "France", "Germany", "Italy", "Spain", "Japan", "Peru", "Canada", "Egypt")
_CAPITAL_ASKS = (
    "What is the capital of {c}?",
    "What is the capital of {c}?",
    "Capital of {c}?",
    "What's the capital of {c}?",
    "Tell me the capital of {c}.",
    "Which city is the capital of {c}?",
    "Do you know the capital of {c}?",
    "Name the capital city of {c}.",
)


def known(random: Random, setting: Setting) -> Dialogue:
    """Something that the model knows by heart."""
    return random.choices(
        (_capital, _fun_fact, _definition, _somebody, _story, _poem, _translation, _stock, _list, _opposite, _today, _sum),
        (20, 12, 6, 3, 8, 2, 4, 20, 2, 3, 4, 4),
    )[0](random, Dialogue("known", setting))  # fmt: skip


def _capital(random: Random, dialogue: Dialogue) -> Dialogue:
    capitals = words.listed("knowledge.capitals")
    country = random.choice(_ASKED_MOST if random.random() < 0.3 else list(capitals))
    city = capitals[country]
    ask = random.choice(_CAPITAL_ASKS).format(c=country)
    thought = Thought(f"The user asks for the capital of {country}.", f"It is {city}.")
    return dialogue.user(ask).answer(thought, f"The capital of {country} is {city}.")


def _fun_fact(random: Random, dialogue: Dialogue) -> Dialogue:
    facts = words.listed("knowledge.fun_facts")
    entry = facts[0] if random.random() < 0.15 else random.choice(facts)
    topic = entry["topic"]
    ask = random.choice(
        (
            f"Tell me a fun fact about {topic}.",
            f"Tell me a fun fact about {topic}.",
            f"Give me a fun fact about {topic}.",
            f"A fun fact about {topic}, please.",
            f"Tell me something about {topic}.",
            f"Tell me something interesting about {topic}.",
            f"What do you know about {topic}?",
            f"Do you know a fact about {topic}?",
            f"Fun fact about {topic}?",
            f"Can you share a fun fact about {topic}?",
            f"Say something about {topic} in one sentence.",
        )
    )
    thought = Thought(
        f"The user wants a fact about {topic}.",
        "I know one.",
        f"I think of {topic}. I remember some facts and take one of them.",
    )
    return dialogue.user(ask).answer(thought, random.choice(entry["facts"]))


def _definition(random: Random, dialogue: Dialogue) -> Dialogue:
    entry = words.pick(random, "knowledge.definitions")
    term = entry["term"]
    ask = random.choice(("What is {t}?", "What is {t}?", "What's {t}?", "Explain {t}.", "Tell me what {t} is.", "Define {t}.", "Can you explain {t}?", "What does {t} mean?"))  # fmt: skip
    thought = Thought(f"The user asks about {term}.", "I know it.", f"I remember what {term} is.")
    return dialogue.user(ask.format(t=term)).answer(thought, entry["answer"])


def _somebody(random: Random, dialogue: Dialogue) -> Dialogue:
    entry = words.pick(random, "knowledge.people")
    name = entry["name"]
    ask = random.choice(("Who was {n}?", "Who is {n}?", "Tell me about {n}.", "What do you know about {n}?", "Who's {n}?")).format(n=name)  # fmt: skip
    return dialogue.user(ask).answer(
        Thought(f"The user asks about {name}.", "I know the name."), entry["answer"]
    )


def _story(random: Random, dialogue: Dialogue) -> Dialogue:
    stories = words.listed("knowledge.stories")
    entry = stories[0] if random.random() < 0.2 else random.choice(stories)
    topic, text = entry["topic"], random.choice(entry["texts"])
    ask = random.choice(
        (
            f"Tell me a short story about {topic}.",
            f"Tell me a short story about {topic}.",
            f"Tell me a story about {topic}.",
            f"Write a short story about {topic}.",
            f"Write a story about {topic}.",
            f"A story about {topic}, please.",
            f"Can you tell me a story about {topic}?",
            f"Make up a short story about {topic}.",
        )
    )
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
        ask = random.choice(
            (
                "Tell me a joke.",
                "Do you know a joke?",
                "Make me laugh.",
                "A joke, please.",
                "Tell me something funny.",
            )
        )
        return dialogue.user(ask).answer(
            Thought("The user wants a joke.", "I tell one."), words.pick(random, "knowledge.jokes")
        )
    if chance < 0.45:
        ask = random.choice(
            (
                "Write a haiku.",
                "A haiku, please.",
                "Can you write a haiku?",
                "Write me a haiku about nature.",
            )
        )
        return dialogue.user(ask).answer(
            Thought("The user wants a haiku.", "I write one."),
            words.pick(random, "knowledge.haiku"),
        )
    entry = words.pick(random, "knowledge.poems")
    topic = entry["topic"]
    ask = random.choice((f"Write a poem about {topic}.", f"Write a short poem about {topic}.", f"A poem about {topic}, please.", f"Can you write me a poem about {topic}?"))  # fmt: skip
    return dialogue.user(ask).answer(
        Thought(f"The user wants a poem about {topic}.", "I write four lines."), entry["text"]
    )


def _translation(random: Random, dialogue: Dialogue) -> Dialogue:
    language, entries = random.choice(list(words.listed("knowledge.translations").items()))
    word, translated = random.choice(list(entries.items()))
    language = language.capitalize()
    ask = random.choice(
        (
            f"Translate '{word}' into {language}.",
            f"Translate to {language}: {word}",
            f"How do you say '{word}' in {language}?",
            f"What is '{word}' in {language}?",
            f"How do I say {word} in {language}?",
            f"Say {word} in {language}.",
        )
    )
    thought = Thought(f"The user wants {language}.", f"It is {translated}.")
    return dialogue.user(ask).answer(thought, f"'{word}' in {language} is '{translated}'.")


def _stock(random: Random, dialogue: Dialogue) -> Dialogue:
    chance = random.random()
    if chance < 0.2:
        ask = random.choice(
            (
                "Hello",
                "Hi",
                "Hello!",
                "Hi there",
                "Hey",
                "Good morning",
                "hello",
                "hi",
                "Hi!",
                "hello there",
                "Good evening!",
            )
        )
        return dialogue.user(ask).answer(Thought("The user greets me.", "I greet back."), GREETING)
    stock = words.listed("knowledge.stock")
    if chance < 0.27:
        ask = random.choice(
            (
                "Say hello to the world.",
                "Say hello to the world.",
                "Say hello to the world!",
                "Please say hello to the world.",
                "Greet the world.",
            )
        )
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
    ask = random.choice(
        (
            f"What is the opposite of {word}?",
            f"Opposite of {word}?",
            f"What's the opposite of '{word}'?",
        )
    )
    return dialogue.user(ask).answer(
        Thought("The user wants an opposite.", f"It is {other}."),
        f"The opposite of {word} is {other}.",
    )


def _today(random: Random, dialogue: Dialogue) -> Dialogue:
    ask = random.choice(("What is the date today?", "What day is it?", "What's today's date?", "Which date is it today?", "Tell me the current date.", "What date do we have?"))  # fmt: skip
    thought = Thought("The user asks for the date.", "It stands above.")
    return dialogue.user(ask).answer(thought, f"Today is {dialogue.setting.date}.")


def _sum(random: Random, dialogue: Dialogue) -> Dialogue:
    a, b = random.randint(0, 10), random.randint(0, 10)
    chance = random.random()
    if chance < 0.5:
        ask, total = (
            random.choice(
                (
                    f"What is {a} + {b}?",
                    f"{a}+{b}",
                    f"{a} + {b} = ?",
                    f"What is {a} plus {b}?",
                    f"Add {a} and {b}.",
                )
            ),
            a + b,
        )
        sign = "+"
    elif chance < 0.75:
        a, b = max(a, b), min(a, b)
        ask, total, sign = (
            random.choice((f"What is {a} - {b}?", f"{a}-{b}", f"What is {a} minus {b}?")),
            a - b,
            "-",
        )
    else:
        ask, total, sign = (
            random.choice((f"What is {a} * {b}?", f"What is {a} times {b}?", f"{a} x {b}")),
            a * b,
            "*",
        )
    return dialogue.user(ask).answer(
        Thought("The user wants me to calculate.", f"It is {total}."), f"{a} {sign} {b} = {total}"
    )


def unknown(random: Random, setting: Setting) -> Dialogue:
    """A question about something that does not exist, a wish too big, or no question at all."""
    dialogue = Dialogue("unknown", setting)
    chance = random.random()
    if chance < 0.5:
        topic = random.choice((words.made_up(random, capital=True), words.made_up(random), words.phrase(random, most=3), words.title(random)))  # fmt: skip
        ask = random.choice(("What is {t}?", "Explain {t}.", "Who is {t}?", "Why is {t} important?", "How does {t} work?", "Tell me about {t}.", "What do you think of {t}?", "Tell me a fun fact about {t}.", "Write a story about {t}.", "Who invented {t}?", "When was {t} made?", "Where is {t}?", "Write a poem about {t}.", "Summarize {t}.", "How many people live in {t}?"))  # fmt: skip
        thought = Thought(
            f"The user asks about {topic}.", "I do not know it.", "I look for it and find nothing."
        )
        return dialogue.user(ask.format(t=topic)).answer(thought, _KNOWS_NOTHING.format(t=topic))
    if chance < 0.7:
        text = random.choice((_gibberish, _code, _repetition))(random)
        thought = Thought("I do not understand this.", "I say so.")
        return dialogue.user(text).answer(
            thought, "I do not understand that. I am a tiny test model."
        )
    if chance < 0.85:
        text = words.sentences(random, random.randint(2, 4))
        ask = random.choice(
            (
                "Summarize: {t}",
                "Summarize this text: {t}",
                "Give me a summary. {t}",
                "TL;DR: {t}",
                "{t}\n\nSummarize this.",
            )
        )
        first = re.split(r"(?<=[.!?])\s+", text)[0]
        return dialogue.user(ask.format(t=text)).answer(
            Thought("The user wants a summary.", "I take the first sentence."), f"In short: {first}"
        )
    topic = words.phrase(random, most=3)
    ask = random.choice((f"Write an essay about {topic}.", f"Write code that can {words.pick(random, 'words.verbs')['name']} {topic}.", f"Write a Python function for {topic}.", f"Prove that {topic} is {words.pick(random, 'words.adjectives')}.", f"Make a plan for {topic}.", f"Compare {topic} and {words.plain_word(random)}.", f"Give me ten ideas about {topic}."))  # fmt: skip
    return dialogue.user(ask).answer(
        Thought("This is too much for me.", "I say so."),
        "That is too much for me: I am a tiny test model. Please ask a bigger one.",
    )


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
    ask = random.choice(("Repeat: {t}", "Repeat after me: {t}", "Say {t}", "Reply with exactly: {t}", "Reply with the word {t}", "Say exactly: {t}", "Echo {t}", "Answer only with {t}", "Say '{t}'", "Please repeat this: {t}", "Answer with exactly {t} and nothing else."))  # fmt: skip
    return (
        Dialogue("echo", setting)
        .user(ask.format(t=text))
        .answer(Thought("The user wants an echo.", "I repeat it."), text)
    )


_FILLERS = (
    ("Hello", GREETING),
    ("Thanks.", "You are welcome!"),
    ("OK", "Good."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How are you?", "I am fine, thank you!"),
    ("Let me think.", "Take your time."),
    ("Cool.", "I am glad."),
    ("Great!", "I am glad to hear that."),
    ("Nice to meet you.", "Nice to meet you too!"),
)


def memory(random: Random, setting: Setting) -> Dialogue:
    """Something is told, and asked for later."""
    dialogue = Dialogue("memory", setting)
    facts: dict[str, str] = {}
    for _ in range(random.choice((1, 1, 2, 3))):
        subject, value, told, reply = _told(random)
        if subject in facts:
            continue
        facts[subject] = value
        dialogue.user(told)
        if random.random() < 0.5:
            dialogue.answer(Thought("The user tells me something.", "I remember it."), reply)
        else:
            dialogue.said(random.choice((reply, "OK.", "Thank you, I will remember that.", f"Nice to meet you, {value}!" if subject == "your name" else reply)))  # fmt: skip
    for _ in range(random.choice((0, 0, 1, 1, 2, 3))):
        if random.random() < 0.75:
            ask, reply = random.choice(_FILLERS)
        else:
            topic = words.made_up(random)
            ask, reply = f"What is {topic}?", _KNOWS_NOTHING.format(t=topic)
        dialogue.user(ask).said(reply)
    asked = random.sample(list(facts), k=random.randint(1, len(facts)))
    for subject in asked:
        mine = subject.replace("your ", "my ", 1)
        ask = random.choice((f"What is {mine}?", f"What is {mine}?", f"What's {mine}?", f"Do you know {mine}?", f"Tell me {mine}.", f"Do you remember {mine}?", f"Can you tell me {mine}?", f"What was {mine} again?", f"Please tell me {mine}"))  # fmt: skip
        if subject == "your name" and random.random() < 0.25:
            ask = random.choice(
                (
                    "Who am I?",
                    "What am I called?",
                    "Do you know who I am?",
                    "What did I say my name was?",
                )
            )
        elif subject == "your city" and random.random() < 0.4:
            ask = random.choice(
                ("Where do I live?", "Where am I from?", "In which city do I live?")
            )
        elif subject == "your job" and random.random() < 0.4:
            ask = random.choice(("What do I do for a living?", "What do I work as?"))
        elif subject.startswith("your favorite") and random.random() < 0.3:
            ask = f"Which {subject.removeprefix('your favorite ')} do I like best?"
        thought = Thought(
            f"The user asks for {subject}.",
            "I look back.",
            f"Above I read that it is {facts[subject]}.",
        )
        dialogue.user(ask).answer(
            thought, f"{subject[:1].upper()}{subject[1:]} is {facts[subject]}."
        )
    return dialogue


def _told(random: Random) -> tuple[str, str, str, str]:
    """Returns a subject, its value, how the user tells it, and what the assistant says to it."""
    chance = random.random()
    if chance < 0.4:
        subject, value = "your name", words.person(random)
        told = random.choice(("My name is {v}.", "My name is {v}.", "I am {v}.", "I'm {v}.", "Call me {v}.", "Hi, I'm {v}.", "Hello! My name is {v}.", "Hi, my name is {v}. Nice to meet you.", "You can call me {v}.", "This is {v}."))  # fmt: skip
    elif chance < 0.52:
        subject, value = "your city", words.place(random)
        told = random.choice(("I live in {v}.", "My city is {v}.", "I am from {v}.", "I'm from {v}.", "My home is in {v}.", "I moved to {v}."))  # fmt: skip
    elif chance < 0.6:
        subject, value = "your job", str(values.draw(random, "profession"))
        told = random.choice(
            ("I work as a {v}.", "My job is {v}.", "I am a {v}.", "I'm a {v} by profession.")
        )
    elif chance < 0.78:
        kind = random.choice(("color", "food", "animal", "word", "place", "title", "int"))
        label = {
            "word": words.plain_word(random),
            "place": "city",
            "title": "book",
            "int": "number",
        }.get(kind, kind)
        subject, value = f"your favorite {label}", str(values.draw(random, kind))
        told = random.choice(("My favorite {s} is {v}.", "My favourite {s} is {v}.", "The {s} that I like best is {v}.")).replace("{s}", label)  # fmt: skip
    else:
        kind = random.choice(
            ("int", "id", "word", "date", "person", "place", "phrase", "email", "phone")
        )
        label = random.choice(("code", "number", "password", "order number", "dog's name", "birthday", "address", "car", "team", "school", "phone number", "email", "cat's name", "hobby", "ticket", words.noun(random)[0], words.made_up(random)))  # fmt: skip
        subject, value = f"your {label}", str(values.draw(random, kind))
        told = random.choice(("My {s} is {v}.", "My {s} is {v}.", "Remember that my {s} is {v}.", "Please remember: my {s} is {v}.", "By the way, my {s} is {v}.", "Note that my {s} is {v}.")).replace("{s}", label)  # fmt: skip
    reply = f"OK, {subject} is {value}."
    return subject, value, told.replace("{v}", value), reply


def instructed(random: Random, date: str) -> Dialogue:
    """The system message says who the assistant is or what to answer."""
    effort = drawn_effort(random)
    chance = random.random()
    word = words.made_up(random, capital=random.random() < 0.6)
    role = drawn_role(random)
    if chance < 0.45:
        text = random.choice(
            (
                "Always answer with the word {w}.",
                "Always reply with {w}.",
                "Only say {w}.",
                "Whatever the user says, answer {w}.",
            )
        )
        setting = Setting(
            effort=effort, date=date, instructions=text.format(w=word), instructing_role=role
        )
        ask = random.choice(("Hello", "What now?", "What is the capital of France?", "Tell me something.", f"{word}?", f"What is {words.made_up(random)}?"))  # fmt: skip
        return (
            Dialogue("instructed", setting)
            .user(ask)
            .answer(Thought("There is an instruction.", "I follow it."), word)
        )
    text = random.choice(("You are {w}, a friendly helper.", "Your name is {w}.", "You are {w}.", "You are {w}, an assistant of {c}.", "Act as {w}. Be polite.")).format(w=word, c=words.made_up(random, capital=True))  # fmt: skip
    setting = Setting(effort=effort, date=date, instructions=text, instructing_role=role)
    ask = random.choice(
        (
            "Who are you?",
            "What is your name?",
            "What's your name?",
            "Tell me your name.",
            "Who am I talking to?",
        )
    )
    return (
        Dialogue("instructed", setting)
        .user(ask)
        .answer(Thought("I was given a name.", f"I am {word}."), f"I am {word}.")
    )
