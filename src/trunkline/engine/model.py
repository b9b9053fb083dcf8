"""Model files: what can be known about a gpt-oss GGUF before it is loaded, and how to speak to it.

Which models can be downloaded, and where they lie then, is told in weights.py.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import msgspec

from trunkline.engine import gguf
from trunkline.errors import StartError

NANO = Path(__file__).with_name("models") / "gpt-oss-nano.gguf"
MARKERS = (
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|end|>",
    "<|call|>",
    "<|return|>",
)
_ARCHITECTURE = "gpt-oss"
_TOKENS = "tokenizer.ggml.tokens"
_CACHE_ELEMENT = 2  # bytes: llama.cpp keeps keys and values as F16
_EXPERTS = re.compile(r"_exps\.")
_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How large a model is.

    ``context`` is the length in tokens that it was made for. ``layer_cache_bytes`` is what the keys
    and values of one token take in one of its ``layers``; of two layers one looks back no farther
    than ``window`` tokens (0: as far as the others). ``read_bytes`` are the weights that one token
    of one reply needs: of a mixture of experts only those that are used.
    """

    size_bytes: int
    context: int
    layers: int = 0
    layer_cache_bytes: int = 0
    window: int = 0
    read_bytes: int = 0


class ModelFile(Figures, frozen=True, kw_only=True):
    """A GGUF file, or the parts of a split one, found whole.

    ``path`` is what llama.cpp is given: the only file or the first part. ``markers`` maps harmony's
    markers to their token ids.
    """

    path: Path
    parts: tuple[Path, ...]
    vocabulary: int
    markers: dict[str, int]


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is called and how it wants to be spoken to.

    ``name`` is the public model id. ``identity`` opens the system message; ``knowledge_cutoff`` and
    ``channel_rule`` tell whether the lines of those names follow. ``temperature`` and
    ``max_tokens`` are the defaults of a request that leaves them out (None: whatever the context
    holds). ``string_cap`` bounds the characters of a JSON string in grammars. ``threads`` 0 means
    one per physical core. ``sha256`` is known for a model that ships with us.
    """

    name: str
    description: str = ""
    sha256: str | None = None
    identity: str = "You are ChatGPT, a large language model trained by OpenAI."
    knowledge_cutoff: str | None = None
    channel_rule: bool = True
    temperature: float = 1.0
    max_tokens: int | None = None
    string_cap: int | None = None
    threads: int = 0


class Model(msgspec.Struct, frozen=True):
    """A model that can be loaded."""

    card: ModelCard
    file: ModelFile


def available() -> str | None:
    """Returns why no engine can run here, or None if one can."""
    if find_spec("xllamacpp") is not None:
        return None
    return (
        f"there is no engine for this platform ({sys.platform}, {platform.machine()}): "
        "xllamacpp has wheels for Linux with glibc (x86-64, aarch64), macOS 13 and Windows (x86-64); "
        "configure a provider under [providers] instead"
    )


def nano() -> Model:
    """Opens the model that ships with Trunkline. Raises StartError if the installation is damaged."""
    card = msgspec.convert(tomllib.loads(NANO.with_suffix(".toml").read_text()), ModelCard)
    file = open_file(NANO)
    if hashlib.sha256(NANO.read_bytes()).hexdigest() != card.sha256:
        raise StartError(f"the built-in model {NANO} is damaged; install trunkline again")
    return Model(card, file)


def open_model(path: Path, *, name: str | None = None) -> Model:
    """Opens a gpt-oss GGUF of the user's; without ``name`` it is called ``local/<file name>``.

    Raises StartError as ``open_file`` does.
    """
    file = open_file(path)
    part = _PART.fullmatch(file.path.name)
    stem = part["stem"] if part else file.path.stem
    return Model(ModelCard(name=name or f"local/{stem}", knowledge_cutoff="2024-06"), file)


def open_file(path: Path) -> ModelFile:
    """Finds a GGUF file, or all parts of a split one given any of them, and checks the headers.

    Raises StartError if one is missing, unreadable, corrupt, truncated or not of the gpt-oss
    architecture, or if its tokenizer lacks harmony's markers. Blocks for up to a second.
    """
    parts = _parts(path.expanduser().absolute())
    headers = [_read(part) for part in parts]
    first = headers[0]
    _check_split(parts, headers)
    architecture = first.values.get("general.architecture")
    if architecture != _ARCHITECTURE:
        raise _bad(
            parts[0], f"its architecture is {architecture!r}; the engine runs {_ARCHITECTURE!r}"
        )
    context = first.values.get(f"{_ARCHITECTURE}.context_length")
    if not isinstance(context, int) or context <= 0:
        raise _bad(parts[0], f"it lacks {_ARCHITECTURE}.context_length")
    tokens = first.strings.get(_TOKENS, [])
    return ModelFile(
        path=parts[0],
        parts=parts,
        size_bytes=sum(part.stat().st_size for part in parts),
        context=context,
        vocabulary=len(tokens),
        layers=_number(first, "block_count"),
        layer_cache_bytes=_layer_cache_bytes(first),
        window=_number(first, "attention.sliding_window"),
        read_bytes=_read_bytes(headers),
        markers=_markers(parts[0], tokens),
    )


def physical_cores() -> int:
    """Returns how many cores this process may use, counting those that share a core once."""
    try:
        cpus = os.sched_getaffinity(0)
        siblings = (
            Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") for cpu in cpus
        )
        return len({file.read_text() for file in siblings})
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def _parts(path: Path) -> tuple[Path, ...]:
    named = _PART.fullmatch(path.name)
    if not named or int(named["count"]) < 1:
        return (path,)
    count = int(named["count"])
    names = (f"{named['stem']}-{n:05}-of-{count:05}.gguf" for n in range(1, count + 1))
    parts = tuple(path.with_name(name) for name in names)
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise StartError(
            f"the model {path.parent / named['stem']} is split into {count} files "
            f"and lacks {_enumerated(missing)}"
        )
    return parts


def _enumerated(names: list[str]) -> str:
    shown, more = names[:5], len(names) - 5
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _read(path: Path) -> gguf.Header:
    try:
        header = gguf.read_header(path, arrays={_TOKENS})
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise StartError(f"there is no model file {path}") from error
    except OSError as error:
        raise StartError(f"the model file {path} cannot be read: {error.strerror}") from error
    except gguf.GGUFError as error:
        raise _bad(path, str(error)) from error
    if size < header.end:
        raise _bad(path, f"it is truncated: {size} of {header.end} bytes; fetch it again")
    return header


def _check_split(parts: tuple[Path, ...], headers: list[gguf.Header]) -> None:
    for number, (part, header) in enumerate(zip(parts, headers, strict=True)):
        count = header.values.get("split.count", 1)
        if count != len(parts):
            raise _bad(
                part,
                f"it is one of {count} parts by its content and one of {len(parts)} by its name; "
                "keep the names NAME-00001-of-0000N.gguf",
            )
        found = header.values.get("split.no", 0)
        if found != number:  # counted from 0; the names count from 1
            raise _bad(
                part, f"its content is that of another part (split.no {found}, not {number})"
            )
    tensors = sum(header.tensors for header in headers)
    expected = headers[0].values.get("split.tensors.count", tensors)
    if tensors != expected:
        raise _bad(parts[0], f"its parts hold {tensors} of {expected} tensors")


def _markers(path: Path, tokens: list[bytes]) -> dict[str, int]:
    ids = {token: number for number, token in enumerate(tokens) if token.startswith(b"<|")}
    missing = [marker for marker in MARKERS if marker.encode() not in ids]
    if missing:
        raise _bad(path, f"its tokenizer lacks harmony's markers: {' '.join(missing)}")
    return {marker: ids[marker.encode()] for marker in MARKERS}


def _number(header: gguf.Header, key: str) -> int:
    value = header.values.get(f"{_ARCHITECTURE}.{key}")
    return value if isinstance(value, int) else 0


def _layer_cache_bytes(header: gguf.Header) -> int:
    lengths = _number(header, "attention.key_length") + _number(header, "attention.value_length")
    return _number(header, "attention.head_count_kv") * lengths * _CACHE_ELEMENT


def _read_bytes(headers: list[gguf.Header]) -> int:
    """Returns the bytes of weights behind one token: all, but of the experts those in use.

    The table of embeddings is only looked up, unless it is the output's as well.
    """
    sizes = {name: size for header in headers for name, size in header.sizes.items()}
    if "output.weight" in sizes:
        sizes.pop("token_embd.weight", None)
    experts = sum(size for name, size in sizes.items() if _EXPERTS.search(name))
    count = _number(headers[0], "expert_count")
    used = experts * _number(headers[0], "expert_used_count") // count if count else experts
    return sum(sizes.values()) - experts + used


def _bad(path: Path, reason: str) -> StartError:
    return StartError(f"the model file {path} cannot be used: {reason}")
