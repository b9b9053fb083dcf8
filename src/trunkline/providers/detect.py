"""Which inference servers run on this machine: asked on loopback, told apart by their own endpoints."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from trunkline.config import known
from trunkline.errors import UpstreamError
from trunkline.providers.prices import entries
from trunkline.transport import Client, Timeouts

_PATIENCE = Timeouts(connect_s=1.0, first_chunk_s=3.0, idle_s=3.0, total_s=5.0)
_MAX_BYTES = 8 << 20
_MOST_TOKENS = 1_000_000_000
# How a file's name goes on behind the model's, where it is still the same model.
_FORMAT = re.compile(
    r"(-(mxfp4|moe|f16|bf16|fp8|q[2-8][a-z0-9_]*|latest|gguf|\d{5}-of-\d{5}))*", re.IGNORECASE
)


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of server: its name in a configuration, its usual port, and what only it answers."""

    name: str
    title: str
    port: int
    path: str
    is_one: Callable[[Any], bool]


SERVERS = (
    Server(
        name="ollama",
        title="Ollama",
        port=11434,
        path="/api/tags",
        is_one=lambda said: isinstance(said.get("models"), list) and "object" not in said,
    ),
    Server(
        name="lm-studio",
        title="LM Studio",
        port=1234,
        path="/api/v0/models",
        is_one=lambda said: isinstance(said.get("data"), list),
    ),
    Server(
        name="llama-cpp",
        title="llama.cpp",
        port=8080,
        path="/props",
        is_one=lambda said: "default_generation_settings" in said,
    ),
    Server(
        name="sglang",
        title="SGLang",
        port=30000,
        path="/get_model_info",
        is_one=lambda said: "model_path" in said,
    ),
    # Last: a version is what other servers may tell too.
    Server(
        name="vllm",
        title="vLLM",
        port=8000,
        path="/version",
        is_one=lambda said: isinstance(said.get("version"), str),
    ),
)
PORTS = tuple(server.port for server in SERVERS)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model of a server: its public name here, the server's id, and its context if that is told."""

    name: str
    id: str
    context: int | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A server that answered; ``why`` says why it lists no models."""

    name: str
    title: str
    port: int
    models: tuple[Model, ...]
    why: str = ""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


async def detect(
    ports: Iterable[int] = PORTS, *, keys: Mapping[int, str] | None = None
) -> list[Found]:
    """Asks each port of loopback, all at once; returns the servers in the order of the ports.

    ``keys`` are those of ports that are configured with one.
    """
    keys = keys or {}
    async with Client() as client, asyncio.TaskGroup() as group:
        asked = [
            group.create_task(_ask(_Port(client, port, keys.get(port))))
            for port in dict.fromkeys(ports)
        ]
    return [found for task in asked if (found := task.result())]


class _Port(NamedTuple):
    """Somewhere to ask, and with which key."""

    client: Client
    number: int
    key: str | None

    async def get(self, path: str) -> bytes:
        authorization = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        async with self.client.send(
            f"http://127.0.0.1:{self.number}{path}",
            method="GET",
            headers={"Accept": "application/json", **authorization},
            timeouts=_PATIENCE,
        ) as incoming:
            return await incoming.read(_MAX_BYTES)


async def _ask(port: _Port) -> Found | None:
    for server in SERVERS:
        try:
            said = _json(await port.get(server.path))
        except UpstreamError:
            return None  # nobody listens, or it does not speak HTTP
        if isinstance(said, dict) and server.is_one(said):
            return await _found(port, server, said)
    return None


async def _found(port: _Port, server: Server, said: Mapping[str, Any]) -> Found:
    try:
        listed = await port.get("/v1/models")
        ids = {entry.id: entry.said.get("context") for entry in entries(listed)}
        models, why = _models(server, said, {i: _tokens(c) for i, c in ids.items()}), ""
    except UpstreamError:
        models, why = (), "does not list its models"
    except ValueError:
        models, why = (), _wants_key(server, port)
    return Found(name=server.name, title=server.title, port=port.number, models=models, why=why)


def _wants_key(server: Server, port: _Port) -> str:
    if port.key:
        return "does not list its models with the configured key"
    return f"wants a key: give [providers.{server.name}] its base_url and api_key_env, then detect again"


def _json(body: bytes) -> Any:
    """Returns what is JSON, None for anything else."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _models(
    server: Server, said: Mapping[str, Any], ids: Mapping[str, int | None]
) -> tuple[Model, ...]:
    """Returns the models that chat, with the context that they have there."""
    told = dict(_told(server, said))
    found: dict[str, Model] = {}
    for id_, listed in ids.items():
        chats, context = told.get(id_, (True, None))
        if server.name == "llama-cpp":
            context = _count(said["default_generation_settings"], "n_ctx")
        if not chats or not id_ or not id_.isprintable():
            continue
        name = public_name(id_)
        name = _without_spaces(id_) if name in found else name
        found.setdefault(name, Model(name=name, id=id_, context=context or listed))
    return tuple(found.values())


def _told(server: Server, said: Mapping[str, Any]) -> Iterator[tuple[str, tuple[bool, int | None]]]:
    """Yields what a server says of each model in its own list: whether it chats, and its context."""
    key, name = {"ollama": ("models", "name"), "lm-studio": ("data", "id")}.get(
        server.name, ("", "")
    )
    for one in said.get(key) or ():
        if not isinstance(one, dict) or not isinstance(one.get(name), str):
            continue
        details = one.get("details")
        family = str(details.get("family", "")) if isinstance(details, dict) else ""
        chats = one.get("type") != "embeddings" and not family.endswith("bert")
        context = _count(one, "loaded_context_length") or _count(one, "max_context_length")
        yield one[name], (chats, context)


def public_name(id_: str) -> str:
    """Returns the name under which a server's model is asked for: the known one if it is known.

    >>> public_name("gpt-oss:20b"), public_name("/models/gpt-oss-120b-mxfp4.gguf"), public_name("phi4:14b")
    ('openai/gpt-oss-20b', 'openai/gpt-oss-120b', 'phi4:14b')
    """
    path = PurePosixPath(id_.replace("\\", "/"))
    stem = re.sub(r"\.gguf$", "", path.name, flags=re.IGNORECASE)
    plain = stem.replace(":", "-").lower()
    for model in sorted(known.models(), key=len, reverse=True):
        tail = model.rpartition("/")[2].lower()
        if plain.startswith(tail) and _FORMAT.fullmatch(plain[len(tail) :]):
            return model
    is_file = path.is_absolute() or stem != path.name or "\\" in id_
    return _without_spaces(f"local/{stem}" if is_file else id_)


def _without_spaces(name: str) -> str:
    return re.sub(r"\s+", "-", name)


def _count(one: Any, name: str) -> int | None:
    return _tokens(one.get(name)) if isinstance(one, dict) else None


def _tokens(value: Any) -> int | None:
    """Returns a number of tokens that can be meant, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return int(value) if 1 <= value <= _MOST_TOKENS else None
