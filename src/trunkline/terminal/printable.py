"""Text that cannot command a terminal: what models and servers say is shown, never obeyed."""

from __future__ import annotations

import re

_C0 = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
_C1 = dict.fromkeys(range(0x80, 0xA0), "\ufffd")  # ␛[ in one character, for many a terminal
_BIDI = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd")
_SYMBOLS = {**_C0, 0x7F: "\u2421", **_C1, **_BIDI}

_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Shows control characters as symbols, all but line ends and tabs.

    An escape sequence could move the cursor, rewrite what stands above, or write to the clipboard;
    the marks that turn the direction of writing could make text look like other text.

    >>> printable("a\\x1b[2Jb")
    'a␛[2Jb'
    """
    return text.replace("\r\n", "\n").translate(_SYMBOLS)


def one_line(text: str) -> str:
    """Shows text as `printable` does, on one line.

    >>> one_line("no\\nsuch  model")
    'no such model'
    """
    return " ".join(printable(text).split())


def printable_json(document: str) -> str:
    """Escapes in a JSON document what `printable` replaces; its meaning stays the same.

    >>> printable_json('["\\x9b2J"]')
    '["\\\\u009b2J"]'
    """
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", document)
