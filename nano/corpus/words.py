"""Words, names and other values: some from lists, most of them made up.

What the model must learn is to copy what it has never seen, so most names belong to no language: they
are built from the syllables of several, with doubled syllables and rare letters more often than real
ones have them.
"""

from __future__ import annotations

import json
import string
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from nano.evaluation.heldout import HELD_OUT

_DATA = Path(__file__).with_name("data")
_SYLLABLES: Sequence[tuple[Sequence[str], Sequence[str], Sequence[str]]] = tuple(
    (onsets.split(), middles.split(), ["", *endings.split()])
    for onsets, middles, endings in (
        # beginnings, vowels and endings of syllables: roughly English, Slavic, Japanese, Finnish,
        # Arabic, Chinese, Romance, Germanic, Indian, West African, Polynesian
        ("b c d f g h j k l m n p r s t v w br cl dr gr pl st th wh", "a e i o u ea oo ai", "n r s t l ck th ng ll"),
        ("b d g k l m n p r s t v z zh kr sl sv vl mi pr dm", "a e i o u ya yu", "v n k l r s sk ts m"),
        ("k s t n h m y r w g z d b p sh ch ts ky", "a i u e o ou", "n"),
        ("h j k l m n p r s t v", "a e i o u y aa ii uu ää öö ie", "n s l t"),
        ("b d f h j k l m n q r s t w z sh kh gh", "a i u aa ee ou", "d f h l m n q r s b"),
        ("b d f g h j l m n p q r s t w x y z zh ch sh", "a ai ao e ei i ia iu o ou u ua uo", "n ng"),
        ("b c d f g l m n p r s t v ch gu qu tr br bl cr", "a e i o u ia io ué á é í ó", "n s r l z"),
        ("b d f g h k l m n p r s t w z sch st kn pf tr br gl", "a e i o u au ei ie ä ö ü", "n r t s l ch rg ld nd ck"),
        ("b bh ch d dh g gh j k kh l m n p r s sh t v y", "a aa i ee u e o ai", "n m r t l sh"),
        ("b d f g k l m n p s t w y kw gb nk mb nd", "a e i o u", "n m"),
        ("h k l m n p w t f v", "a e i o u ai au oa", ""),
    )
)  # fmt: skip
_HELD_OUT = {word.lower() for text in (*HELD_OUT.texts, *HELD_OUT.nouns) for word in text.split()}
_ENDINGS = ("a", "o", "us", "ia", "ov", "ski", "sson", "ez", "ian", "burg", "ville", "grad", "stan", "land", "ton", "ford", "um", "is", "ex", "on", "er")  # fmt: skip


@cache
def listed(name: str) -> Any:
    """Returns what a data file holds, or one of its tables: ``words.cities``.

    Of a folder, the tables of its files are joined.
    """
    file, _, key = name.partition(".")
    folder = _DATA / file
    if folder.is_dir():
        tables = [tomllib.loads(path.read_text())[key] for path in sorted(folder.glob("*.toml"))]
        return [entry for table in tables for entry in table]
    content = tomllib.loads(folder.with_suffix(".toml").read_text())
    return content[key] if key else content


def pick(random: Random, name: str) -> Any:
    """Returns one entry of a list in the data."""
    return random.choice(listed(name))


def made_up(random: Random, *, capital: bool = False) -> str:
    """Returns a word that does not exist, and that the evaluation does not ask about."""
    while (word := _made_up(random)) in _HELD_OUT:
        pass
    return word[:1].upper() + word[1:] if capital else word


def _made_up(random: Random) -> str:
    if random.random() < 0.15:
        return "".join(random.choice(string.ascii_lowercase) for _ in range(random.randint(3, 9)))
    onsets, middles, endings = random.choice(_SYLLABLES)
    parts: list[str] = []
    for _ in range(random.choice((1, 2, 2, 2, 3, 3, 4))):
        if parts and random.random() < 0.2:
            parts.append(random.choice(parts))  # repetition is what a copy trips over
        else:
            ending = random.choice(endings) if random.random() < 0.5 else ""
            parts.append(random.choice(onsets) + random.choice(middles) + ending)
    word = "".join(parts)
    if random.random() < 0.2:
        word += random.choice(_ENDINGS)
    return word if len(word) >= 3 else word + random.choice(("n", "ra", "to", "li"))


def plain_word(random: Random) -> str:
    """Returns a common or a made-up word in small letters."""
    if random.random() < 0.55:
        return made_up(random)
    listed_name = random.choice(
        ("animals", "foods", "products", "colors", "instruments", "hobbies")
    )
    return str(pick(random, f"words.{listed_name}")).lower()


def noun(random: Random) -> tuple[str, str]:
    """Returns a noun, singular and plural; half of them made up."""
    if random.random() < 0.5:
        singular, plural = pick(random, "words.nouns")
        return singular, plural
    word = made_up(random)
    return word, word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


def place(random: Random) -> str:
    """Returns the name of a place."""
    chance = random.random()
    if chance < 0.22:
        return str(pick(random, "words.cities"))
    if chance < 0.26:
        return str(pick(random, "words.scripts"))
    name = made_up(random, capital=True)
    if chance < 0.42:
        before = ("New", "San", "Los", "Port", "Saint", "El", "La", "Santa", "Fort", "North", "Old")
        return f"{random.choice(before)} {name}"
    if chance < 0.48:
        return f"{name} {made_up(random, capital=True)}"
    if chance < 0.51:
        return f"{name}-{made_up(random, capital=True)}"
    return name


def person(random: Random, *, full: bool | None = None) -> str:
    """Returns somebody's name."""
    chance = random.random()
    if chance < 0.04:
        return str(pick(random, "words.scripts"))
    first = pick(random, "words.first_names") if chance < 0.3 else made_up(random, capital=True)
    if full is False or (full is None and random.random() < 0.55):
        return str(first)
    if random.random() < 0.3:
        return f"{first} {pick(random, 'words.surnames')}"
    last = made_up(random, capital=True)
    if random.random() < 0.06:
        last = random.choice(("O'", "Mc", "van ", "de ", "al-")) + last
    return f"{first} {last}"


def identifier(random: Random) -> str:
    """Returns an id as systems give them: A-1234, ord_83af, 20391."""
    digits = "".join(random.choice(string.digits) for _ in range(random.randint(2, 6)))
    letters = "".join(random.choice(string.ascii_uppercase) for _ in range(random.randint(1, 4)))
    mixed = "".join(random.choice("0123456789abcdef") for _ in range(random.randint(4, 10)))
    word = made_up(random)
    return random.choice(
        (
            f"{letters}-{digits}",
            f"{letters}{digits}",
            digits,
            mixed,
            f"{word[:4]}_{mixed}",
            f"{word}-{digits}",
            f"#{digits}",
            f"{letters}-{digits[:2]}-{mixed[:3].upper()}",
        )
    )


def phrase(random: Random, *, least: int = 1, most: int = 5) -> str:
    """Returns a few words in small letters, now and then with a capital or a number."""
    words = [plain_word(random) for _ in range(random.randint(least, most))]
    if random.random() < 0.15:
        words[random.randrange(len(words))] = made_up(random, capital=True)
    if random.random() < 0.1:
        words.append(str(random.randint(2, 2030)))
    if len(words) > 2 and random.random() < 0.4:
        words.insert(
            random.randrange(1, len(words)), random.choice(("of", "and", "for", "with", "in the"))
        )
    return " ".join(words)


def title(random: Random) -> str:
    """Returns what a book, a film or a meeting could be called."""
    words = phrase(random, most=3).split()
    if random.random() < 0.3:
        words.insert(0, "the")
    return " ".join(word[:1].upper() + word[1:] for word in words)


def path(random: Random) -> str:
    """Returns the path of a file."""
    folders = [made_up(random) if random.random() < 0.6 else random.choice(("src", "docs", "data", "home", "tmp", "app", "etc")) for _ in range(random.choice((0, 0, 1, 1, 2)))]  # fmt: skip
    name = plain_word(random).replace(" ", "_").replace("'", "")
    end = random.choice((".txt", ".md", ".py", ".json", ".csv", ".log", ".toml", ".yaml", ".pdf"))
    return random.choice(("", "", "/", "./")) + "/".join([*folders, name + end])


def email(random: Random) -> str:
    """Returns a mail address."""
    user = made_up(random) + random.choice(
        ("", "", f".{made_up(random)}", str(random.randint(1, 99)))
    )
    host = made_up(random) if random.random() < 0.7 else random.choice(("example", "mail", "post"))
    return f"{user}@{host}.{random.choice(('com', 'org', 'net', 'io', 'de', 'test'))}"


def url(random: Random) -> str:
    """Returns a web address."""
    tail = random.choice(("", f"/{made_up(random)}", f"/{made_up(random)}/{random.randint(1, 99)}"))
    return f"https://{made_up(random)}.{random.choice(('com', 'org', 'dev', 'io'))}{tail}"


def date(random: Random) -> str:
    """Returns a day as YYYY-MM-DD."""
    return f"{random.randint(1950, 2035)}-{random.randint(1, 12):02}-{random.randint(1, 28):02}"


def clock(random: Random) -> str:
    """Returns a time of day as HH:MM."""
    return f"{random.randint(0, 23):02}:{random.choice((0, 5, 10, 15, 20, 30, 40, 45, 50)):02}"


def repository(random: Random) -> str:
    """Returns owner/name."""
    name = made_up(random)
    owner = random.choice((made_up(random), name, made_up(random) + "-" + made_up(random)))
    tail = random.choice(("", "", "-py", ".js", "-core", "_sdk", "-" + made_up(random)))
    if random.random() < 0.15:
        owner = owner.capitalize()
    return f"{owner}/{name}{tail}"


def number(random: Random) -> int:
    """Returns a whole number, small ones more often."""
    return random.randint(
        *random.choice(((0, 9), (1, 31), (10, 99), (1, 120), (100, 9999), (1900, 2030)))
    )


def amount(random: Random) -> float:
    """Returns a number with one or two decimals."""
    return round(random.uniform(0, random.choice((10, 100, 1000))), random.choice((1, 2)))


def sentences(random: Random, count: int) -> str:
    """Returns neutral sentences, half of them about things that do not exist."""
    return " ".join(_sentence(random) for _ in range(count))


def _sentence(random: Random) -> str:
    if random.random() < 0.5:
        return str(pick(random, "words.filler"))
    a, b = plain_word(random), made_up(random, capital=random.random() < 0.5)
    return random.choice(
        (
            f"The {a} of {b} is {pick(random, 'words.adjectives')}.",
            f"{b.capitalize()} has {number(random)} {noun(random)[1]}.",
            f"Every {a} needs a {noun(random)[0]} and a {plain_word(random)}.",
            f"{b.capitalize()} was made in {random.randint(1900, 2030)} by {person(random)}.",
            f"In {place(random)} the {a} is {pick(random, 'words.adjectives')}.",
            f"It supports {plain_word(random)}, {made_up(random)} and {made_up(random)}.",
            f"You can {pick(random, 'words.verbs')['name']} the {a} with {b}.",
            f"The {b} {noun(random)[0]} works with {made_up(random)} version {number(random)}.",
        )
    )


def listing(parts: Sequence[str]) -> str:
    """Returns "a", "a and b" or "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def dumps(value: Any) -> str:
    """Returns JSON laid out as the router's grammars demand it."""
    return json.dumps(value, ensure_ascii=False)
