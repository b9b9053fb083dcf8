"""Grammars for constrained decoding: from JSON schemas, choices and expressions to llguidance's Lark.

The engine ignores a grammar that it cannot compile, so each one is compiled here first, within
bounds on size and time, and refused by name if that fails. Compiling itself is llguidance's work,
which bounds its own states; measured: under 0.3 s for anything within ``MAX_BYTES``.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trunkline.engine.schema import adapted
from trunkline.errors import InvalidRequest

MAX_BYTES = 131_072
"""Largest grammar that is compiled, in bytes."""
COMPILE_TIMEOUT_S = 5.0

# In its messages llguidance repeats the grammar, which the caller never wrote.
_ECHO = re.compile(r"\s*(\d+ \||\^)")
_POSITION = re.compile(r"^(at )?\d+\(\d+\): (failed to compile JSON schema: )?")
_NOTHING_ADMITTED = "NoExtension"
_HEAD = "%llguidance {}\n"
# How a model itself ends its turn, so that it knows where a text of open length is over. Llama.cpp's
# sign of the end is <|end|> which, like other control tokens but not these two, it takes for text.
_END = "<|return|>"
_ENDS_OF_TURN = (_END, "<|call|>")
# Flexible white space lets a small model loop over blanks; these are the separators it was taught.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
# In the event loop's own threads compiling would hold up name look-ups. Nobody has to close these:
# they start at the first grammar, and at exit python wakes and joins them, waiting for no more than
# the compilation that runs, which llguidance bounds.
_threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="grammar")


def json_grammar(schema: Mapping[str, Any], *, strict: bool, string_cap: int | None = None) -> str:
    """Returns the grammar of the JSON documents that a schema admits.

    Keywords that a grammar cannot express are refused by ``check_grammar`` if ``strict``, else left
    unenforced: ``not``, ``if``, ``contains``, ``uniqueItems``, ``propertyNames``,
    ``dependentRequired``, formats that only others know, and that of several ``oneOf`` just one
    holds. ``string_cap`` as in ``adapted``, which may raise RecursionError.
    """
    wanted = adapted(schema, cap=string_cap)
    wanted["x-guidance"] = {**_LAYOUT, "lenient": not strict}
    return f"{_HEAD}start: body {_END}\nbody: %json {json.dumps(wanted)}\n"


def choice_grammar(choices: Iterable[str], *, then: str | None = None) -> str:
    """Returns the grammar of exactly one of these strings, and of ``then`` in place of the end."""
    options = " | ".join(map(json.dumps, choices))
    end = _END if then is None else json.dumps(then)
    # As one terminal it is one automaton, however many choices there are.
    return f"{_HEAD}start: BODY {end}\nBODY: {options}\n"


def regex_grammar(pattern: str) -> str:
    """Returns the grammar of the strings that a regular expression (Rust's syntax) matches whole."""
    escaped = re.sub(r"(?<!\\)((?:\\\\)*)/", r"\1\\/", pattern).replace("\n", "\\n")
    return f"{_HEAD}start: BODY {_END}\nBODY: /{escaped}/\n"


async def check_grammar(grammar: str, *, param: str) -> str:
    """Returns the grammar if it can be enforced. Raises InvalidRequest with ``param`` and reason."""
    if len(grammar) > MAX_BYTES:
        raise InvalidRequest(
            f"{param}: too large to be enforced ({len(grammar)} of {MAX_BYTES} bytes)", param=param
        )
    try:
        async with asyncio.timeout(COMPILE_TIMEOUT_S):
            reason = await asyncio.get_running_loop().run_in_executor(_threads, refusal, grammar)
    except TimeoutError as error:
        raise InvalidRequest(f"{param}: it takes too long to compile", param=param) from error
    if reason:
        raise InvalidRequest(f"{param}: cannot be enforced: {reason}", param=param)
    return grammar


async def admits(grammar: str, text: str) -> bool:
    """Whether a text follows a grammar that ends the turn, from its beginning to its end."""
    return await asyncio.get_running_loop().run_in_executor(_threads, admitted, grammar, text)


def admitted(grammar: str, text: str) -> bool:
    """As ``admits``, at once: for a small grammar. Raises ImportError where there is no engine."""
    from llguidance import LLMatcher

    matcher = LLMatcher(_bytes_tokenizer(), grammar, log_level=0)
    tokens = [*text.encode(), _Bytes.end_id]
    admitted: int = matcher.try_consume_tokens(tokens)
    return admitted == len(tokens)


@functools.lru_cache(maxsize=256)
def refusal(grammar: str) -> str:
    """Returns why a grammar cannot be enforced, empty if it can; as ``check_grammar``, at once."""
    from llguidance import LLMatcher  # an optional part: only where the engine is

    body = grammar.partition("\n")[2].partition("\n")[2]
    for marker in _ENDS_OF_TURN:
        if marker in body:  # where nothing else could follow, it would become the real one
            return f"it spells {marker}, which ends the model's turn"
    matcher = LLMatcher(_bytes_tokenizer(), grammar, log_level=0)
    if not matcher.is_error():
        matcher.compute_logit_bias()  # finds what compiles and yet admits nothing
    report: str = matcher.get_error()
    if report.startswith(_NOTHING_ADMITTED):
        return "nothing satisfies it"
    lines = [line for line in report.splitlines() if not _ECHO.match(line)]
    return _POSITION.sub("", " ".join(" ".join(lines).split()))[:300]


@functools.cache
def _bytes_tokenizer() -> Any:
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(_Bytes()))


class _Bytes:
    """A vocabulary of bytes and the end: what a grammar admits does not depend on the model's."""

    tokens = (*(bytes([byte]) for byte in range(256)), _END.encode(), b"<|eos|>")
    end_id, eos_token_id = 256, 257
    special_token_ids = (end_id, eos_token_id)
    bos_token_id = None

    def __call__(self, text: bytes) -> list[int]:
        return list(text)
