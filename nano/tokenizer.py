"""The tokenizer: byte-level BPE that spells a name the same way wherever it stands.

Copying is what the model lives on, and it is easy where the copy has the same tokens as the
original. So merges are learned within words only: no space, quote or bracket becomes part of a
word's pieces, digits stay single, and a capital only merges with the letters after it. Afterwards
common whole words get a second token with the space before them, as a last merge: it changes no
word's spelling, and its embedding starts out beside that of the bare word.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from trunkline.wire.harmony import Marker

PADDING = "<|endoftext|>"
CONTROL = ("<|startoftext|>", PADDING, *(marker.value for marker in Marker))
SPACE = "Ġ"  # how byte-level BPE writes a space
_ROUND = 32  # llama.cpp's kernels like rows in multiples of this

# llama.cpp's pre-tokenizer "gpt-4o", which the file names.
_GPT_4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Pieces that merges are learned in: finer than those above, so that none crosses a word's edge.
_LEARNED_IN = r"\p{Lu}?\p{Ll}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\p{L}|\s"


def learn(texts: Iterable[str], *, merges: int, spaced_words: int) -> Tokenizer:
    """Returns a tokenizer with at most this many merges within words, and words with a space."""
    texts = list(texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _split(_LEARNED_IN)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + merges,
        initial_alphabet=alphabet,
        special_tokens=[],
        min_frequency=30,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    content: dict[str, Any] = json.loads(tokenizer.to_str())["model"]
    _add_spaced_words(content, tokenizer, texts, spaced_words)
    return _assembled(content)


def load(path: Path) -> Tokenizer:
    """Opens a tokenizer that ``learn`` made."""
    return Tokenizer.from_file(str(path))


def control_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Returns the ids of the control tokens."""
    ids = {name: tokenizer.token_to_id(name) for name in CONTROL}
    assert None not in ids.values()
    return ids


def _split(pattern: str) -> Any:
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), bytes_])


def _add_spaced_words(
    content: dict[str, Any], tokenizer: Tokenizer, texts: list[str], count: int
) -> None:
    vocabulary, merges = content["vocab"], content["merges"]
    seen: Counter[str] = Counter()
    for text in texts:
        tokens = tokenizer.encode(text).tokens
        seen.update(
            word
            for space, word in pairwise(tokens)
            if space == SPACE and word.isascii() and word.isalpha() and word.islower()
        )
    for word, _ in seen.most_common(count):
        vocabulary[SPACE + word] = len(vocabulary)
        merges.append([SPACE, word])


def _assembled(content: dict[str, Any]) -> Tokenizer:
    merges = [tuple(merge) for merge in content["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=content["vocab"], merges=merges))
    tokenizer.pre_tokenizer = _split(_GPT_4O)
    tokenizer.decoder = decoders.ByteLevel()
    names = list(CONTROL)
    while (len(content["vocab"]) + len(names)) % _ROUND:
        names.append(f"<|reserved_{len(names)}|>")
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False) for name in names]
    )
    return tokenizer
