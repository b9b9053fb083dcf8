"""Every key of the configuration, with its type, range, default and meaning.

The reference page docs/reference/configuration.md is rendered from these Structs. How files,
environment and flags become Settings does not belong here: see load.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from trunkline.config import values
from trunkline.config.refreshed import Refreshed


class Secret:
    """A text that must not be shown: ``str``, ``repr`` and format print dots; ``reveal`` the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the text itself, for the one place that sends or uses it."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "Secret('…')"

    def __str__(self) -> str:
        return "…"


def _doc(
    text: str, *, read: Callable[[Any], Any] | None = None, type: str | None = None, **more: Any
) -> Meta:
    """Says what a key does, which range it has and, where TOML's type is not ours, who reads it.

    ``read`` takes the TOML value and returns the setting or raises ValueError with what is
    expected; ``type`` is the name of what it takes.
    """
    extra = {"read": read, "type": type} if read else None
    return Meta(description=text, extra=extra, **more)


def _secret(text: str) -> Meta:
    return _doc(text, read=_read_secret, type="string")


def _read_secret(value: Any) -> Secret:
    if not isinstance(value, str):
        raise ValueError("expected a string")  # without the value: it is a secret
    return Secret(value.strip())


_DAY_S = 86_400
_LEAST_SECRET = 8  # characters; what is shorter is a word that may stand in any sentence
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
TOOL_CHOICES = ("auto", "none", "required", "named")
SCHEMA_RULES = ("closed", "required", "single_types", "item_schemas", "few_variants")
PARAMETERS = (
    *("stream_options", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "seed"),
    *("stop", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort"),
    *("user", "metadata", "store", "service_tier", "prediction", "prompt_cache_key"),
    *("prompt_cache_options", "prompt_cache_retention", "safety_identifier", "verbosity"),
    *("audio", "modalities", "moderation", "functions", "function_call", "web_search_options"),
    *("top_k", "min_p", "repetition_penalty", "chat_template_kwargs"),
)
"""The parameters of chat completions that a provider may lack and nothing else says so of."""
_Count = Annotated[int, Meta(ge=1)]


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the router listens, and what it accepts."""

    host: Annotated[
        str, _doc("Address to listen on.", read=values.nonempty_text, type="string")
    ] = "127.0.0.1"
    port: Annotated[int, _doc("Port to listen on; 0 takes a free one.", ge=0, le=65535)] = 7070
    workers: Annotated[int, _doc("Router processes sharing the port.", ge=1, le=256)] = 1
    drain_s: Annotated[
        float,
        _doc("Seconds that running replies get to finish after SIGTERM.", ge=0, le=_DAY_S),
    ] = 30.0
    allowed_hosts: Annotated[
        tuple[str, ...],
        _doc(
            "Names accepted in the Host header besides the loopback ones.",
            read=values.host_names,
            type="list of host names",
        ),
    ] = ()
    max_body_bytes: Annotated[int, _doc("Largest request body, in bytes.", ge=1024, le=1 << 40)] = (
        33_554_432
    )
    body_timeout_s: Annotated[
        float,
        _doc(
            "Seconds within which a request's head must arrive, and then its body.", gt=0, le=_DAY_S
        ),
    ] = 30.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], _doc("Least severity that is logged.")
    ] = "info"
    log_format: Annotated[
        Literal["json", "text"], _doc("One JSON object a line, or text for people.")
    ] = "json"
    access_log: Annotated[bool, _doc("Log one line per request; never its content.")] = True
    reasoning_fields: Annotated[
        Literal["both", "reasoning", "reasoning_content"],
        _doc("Field or fields in which replies carry the model's reasoning."),
    ] = "both"


class DatabaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where accounts, keys and request records are kept."""

    url: Annotated[
        Secret,
        _secret(
            "`postgresql://user:password@host/name` or `sqlite:///path`; "
            "empty is the SQLite file `trunkline.db` in the home folder."
        ),
    ] = Secret("")
    url_env: Annotated[str, _doc("Environment variable that holds the URL.")] = ""
    url_file: Annotated[str, _doc("File that holds the URL.")] = ""
    pool_size: Annotated[int, _doc("Connections that each worker keeps.", ge=1, le=1000)] = 5
    busy_timeout_s: Annotated[
        float, _doc("Seconds to wait for a locked database.", ge=0, le=_DAY_S)
    ] = 5.0


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The embedded llama.cpp engine."""

    enabled: Annotated[bool, _doc("Run the embedded engine.")] = True
    model: Annotated[str, _doc("Path of a gpt-oss GGUF file; empty is the shipped nano model.")] = (
        ""
    )
    name: Annotated[
        str,
        _doc(
            "Public name of that model; empty is `local/` and the file's name without `.gguf`.",
            read=values.name_or_empty,
            type="string",
        ),
    ] = ""
    slots: Annotated[int, _doc("Replies generated at the same time.", ge=1, le=256)] = 8
    context: Annotated[int, _doc("Tokens of context per slot.", ge=256, le=1 << 20)] = 4096
    threads: Annotated[
        int,
        _doc("CPU threads; 0 is 1 for nano and the physical cores for others.", ge=0, le=1024),
    ] = 0
    gpu_layers: Annotated[
        int, _doc("Layers kept on the GPU; 999 puts all there.", ge=0, le=999)
    ] = 0
    queue: Annotated[
        int, _doc("Requests that may wait for a slot before others get a 429.", ge=0, le=100_000)
    ] = 64
    start_timeout_s: Annotated[
        float,
        _doc(
            "Seconds that an engine may take to load its model, and 2 more for each 100 MB of it.",
            gt=0,
            le=_DAY_S,
        ),
    ] = 60.0
    stall_s: Annotated[
        float,
        _doc(
            "Seconds without a token after which a running engine is restarted, and 2 more for each "
            "100 MB of its model.",
            gt=0,
            le=_DAY_S,
        ),
    ] = 60.0
    cache_mb: Annotated[
        int, _doc("Memory for prompts cached beyond the slots, in MB.", ge=0, le=1 << 20)
    ] = 64
    check_memory: Annotated[
        bool, _doc("Refuse to load a model that takes more memory than is available.")
    ] = True
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | None,
        _doc("Temperature where a request gives none; unset is the model's own.", examples=[1.0]),
    ] = None
    max_tokens: Annotated[
        int,
        _doc("Longest reply, in tokens, where a request gives none; 0 is the model's own.", ge=0),
    ] = 0


class RoutingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a provider is chosen, and how long it may take."""

    params: Annotated[
        Literal["strict", "lenient"],
        _doc("What happens to parameters that a provider does not support: refuse, or drop."),
    ] = "strict"
    env_keys: Annotated[bool, _doc("Activate known providers whose key is in the environment.")] = (
        True
    )
    half_life_s: Annotated[
        float, _doc("Seconds after which an observation counts half.", gt=0, le=_DAY_S)
    ] = 300.0
    explore: Annotated[
        float,
        _doc(
            "Share of the requests decided by speed that go elsewhere, to measure it.", ge=0, le=1
        ),
    ] = 0.05
    cheapest_by: Annotated[
        Literal["blend", "output"],
        _doc(
            "What the `cheapest` policy compares: 3 × prompt price + completion price, or the "
            "completion price alone."
        ),
    ] = "blend"
    preferred: Annotated[
        tuple[str, ...],
        _doc(
            "Providers in the order of the `preferred` policy.",
            read=values.provider_names,
            type="list of provider names",
        ),
    ] = ()
    connect_timeout_s: Annotated[
        float, _doc("Seconds to connect to a provider.", gt=0, le=_DAY_S)
    ] = 5.0
    first_chunk_timeout_s: Annotated[
        float, _doc("Seconds until a provider's first chunk.", gt=0, le=_DAY_S)
    ] = 60.0
    idle_timeout_s: Annotated[
        float, _doc("Seconds between two chunks of a stream.", gt=0, le=_DAY_S)
    ] = 60.0
    total_timeout_s: Annotated[
        float, _doc("Seconds that one attempt may take altogether.", gt=0, le=_DAY_S)
    ] = 600.0
    request_timeout_s: Annotated[
        float, _doc("Seconds that a request may take over all its attempts.", gt=0, le=_DAY_S)
    ] = 900.0


class ResponsesSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the Responses API keeps, and which of its two published formats it answers in."""

    retention_days: Annotated[
        float,
        _doc(
            "Days that a response is kept after it was made; 0 keeps it until it is deleted. A change "
            "counts for new responses.",
            ge=0,
            le=36_500,
        ),
    ] = 30.0
    sweep_interval_s: Annotated[
        float,
        _doc("Seconds between two removals of what has expired.", gt=0, le=_DAY_S),
    ] = 3600.0
    dialect: Annotated[
        Literal["openai", "open-responses"],
        _doc("Names of events and fields where OpenAI's differ from those of Open Responses."),
    ] = "openai"


class EgressSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses that a caller's URLs may reach although they are not public."""

    allow: Annotated[
        tuple[str, ...],
        _doc(
            "Networks (`10.0.0.0/8`), addresses and host names that URLs in requests may lead to "
            "although they are not public; over `http`, too.",
            read=values.networks_or_hosts,
            type="list of networks or host names",
        ),
    ] = ()


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model at a provider. Prices are integers: nano-dollars per 1M tokens."""

    id: Annotated[str, _doc("The provider's own id; empty is the public name.")] = ""
    kind: Annotated[
        Literal["", "chat", "embedding"],
        _doc(
            "What it answers: conversations, or texts with vectors; empty is what a known model of "
            "that name does, else `chat`."
        ),
    ] = ""
    dimensions: Annotated[
        _Count | None, _doc("Numbers in a vector of an embedding model, the most it can make.")
    ] = None
    input: Annotated[
        int | None,
        _doc("Price of 1M prompt tokens, in USD.", read=values.nano_dollars, type="number"),
    ] = None
    cached_input: Annotated[
        int | None,
        _doc(
            "Price of 1M prompt tokens read from a cache, in USD.",
            read=values.nano_dollars,
            type="number",
        ),
    ] = None
    output: Annotated[
        int | None,
        _doc("Price of 1M completion tokens, in USD.", read=values.nano_dollars, type="number"),
    ] = None
    context: Annotated[_Count | None, _doc("Tokens of prompt and completion together.")] = None
    max_output: Annotated[_Count | None, _doc("Tokens of the longest completion.")] = None
    tools: Annotated[bool | None, _doc("Whether it takes tools.")] = None
    structured: Annotated[
        bool | None, _doc("Whether it keeps to a JSON schema in `response_format`.")
    ] = None
    structured_with_tools: Annotated[
        bool | None, _doc("Whether it takes tools and a JSON schema in one request.")
    ] = None
    efforts: Annotated[
        tuple[str, ...] | None,
        _doc(
            "Values of `reasoning_effort` that it takes.",
            read=values.some_of(*EFFORTS),
            type=values.list_of(*EFFORTS),
        ),
    ] = None
    vision: Annotated[bool | None, _doc("Whether it sees images.")] = None
    deprecated: Annotated[
        bool | date,
        _doc(
            "Whether, or from which day on, it is only used where its provider is asked for by name.",
            read=values.truth_or_day,
            type="boolean or date",
        ),
    ] = False


class Quirks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a provider that speaks OpenAI's Chat Completions deviates from them."""

    max_tokens_name: Annotated[
        Literal["", "max_tokens", "max_completion_tokens"],
        _doc("The one name under which it takes the limit of tokens; empty takes both."),
    ] = ""
    reasoning_in: Annotated[
        Literal["", "none", "reasoning", "reasoning_content"],
        _doc("Field in which it takes earlier reasoning, `none` for no field; empty takes both."),
    ] = ""
    tool_choice: Annotated[
        tuple[str, ...],
        _doc(
            "Values of `tool_choice` that it takes; empty takes all.",
            read=values.some_of(*TOOL_CHOICES),
            type=values.list_of(*TOOL_CHOICES),
        ),
    ] = ()
    required_name: Annotated[
        Literal["required", "any"], _doc("What it calls `tool_choice: required`.")
    ] = "required"
    strict_tools: Annotated[bool, _doc("Whether it takes `strict` in a tool.")] = True
    schema_form: Annotated[
        Literal["", "json_object", "value", "flat", "guided_json"],
        _doc(
            "How it takes a JSON schema: as the `schema` or the `value` of a `json_object`, directly "
            "in `response_format`, or in `guided_json`; empty is OpenAI's way."
        ),
    ] = ""
    schema_rules: Annotated[
        tuple[str, ...],
        _doc(
            "What it wants of a schema with `strict`: objects without further properties, all of them "
            "required, one type each, no `items: true`, at most five in `anyOf`.",
            read=values.some_of(*SCHEMA_RULES),
            type=values.list_of(*SCHEMA_RULES),
        ),
    ] = ()
    strict_schemas: Annotated[
        bool, _doc("Whether it takes `strict` with a schema; if not, replies are checked here.")
    ] = True
    streams_schemas: Annotated[
        bool, _doc("Whether it can stream a reply that keeps to a schema.")
    ] = True
    string_content: Annotated[
        Literal["", "tool", "all"],
        _doc("Whose messages' content must be a string: tools' or all."),
    ] = ""
    null_fields: Annotated[bool, _doc("Whether fields of a message may be null.")] = True
    developer_role: Annotated[
        bool, _doc("Whether it knows the role `developer`; if not, that becomes `system`.")
    ] = True
    split_tool_calls: Annotated[
        bool,
        _doc(
            "Whether each tool call must be followed directly by its result, and no assistant's "
            "message be empty."
        ),
    ] = False
    encoding_format: Annotated[
        bool,
        _doc(
            "Whether it takes `encoding_format` for embeddings; if not, vectors are encoded here."
        ),
    ] = True
    inline_reasoning: Annotated[
        bool,
        _doc(
            "Whether reasoning leads the content as `<reasoning>…</reasoning>`; its replies are "
            "repaired as those of gpt-oss are."
        ),
    ] = False
    reasoning_object: Annotated[
        bool, _doc("Whether it takes `reasoning`, as OpenRouter does, beside `reasoning_effort`.")
    ] = False
    guided: Annotated[
        bool,
        _doc("Whether it takes `guided_json`, `guided_choice`, `guided_regex`, `guided_grammar`."),
    ] = False
    unsupported: Annotated[
        tuple[str, ...],
        _doc(
            "Parameters that it does not take.",
            read=values.some_of(*PARAMETERS),
            type="list of parameters",
        ),
    ] = ()


class ProviderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An upstream that answers chat completions.

    ``api_key`` is the key itself, wherever it came from; None if none was given or its variable is
    not set. ``lacks`` says what keeps it from being used although it is enabled, as an end of the
    sentence "provider 'x' …".
    """

    base_url: Annotated[
        str,
        _doc("Address up to and without `/chat/completions`.", read=values.base_url, type="URL"),
    ]
    api_key: Annotated[Secret | None, _secret("The key itself; better one of the next two.")] = None
    api_key_env: Annotated[
        str, _doc("Environment variable that holds the key; unset, the provider is inactive.")
    ] = ""
    api_key_file: Annotated[str, _doc("File that holds the key.")] = ""
    dialect: Annotated[Literal["openai"], _doc("Format that the provider speaks.")] = "openai"
    enabled: Annotated[bool, _doc("Whether the provider may be used.")] = True
    local: Annotated[bool, _doc("Whether the `local` policy counts it as yours.")] = False
    reserve: Annotated[
        bool,
        _doc(
            "Whether it is only asked by its name, by `local`, and where nobody else offers the model."
        ),
    ] = False
    headers: Annotated[
        dict[str, str],
        _doc("Further headers of each request.", read=values.headers, type="table of strings"),
    ] = {}
    quirks: Quirks = Quirks()
    models: dict[str, ModelSettings] = {}
    lacks: str = ""

    @property
    def key(self) -> Secret | None:
        """The key to send; None if there is none or none is needed."""
        return self.api_key

    @property
    def key_source(self) -> str:
        """Where its key comes from: a variable, a file, or "the configuration"; empty without one."""
        if not self.api_key:
            return ""
        return self.api_key_env or self.api_key_file or "the configuration"

    @property
    def secrets(self) -> frozenset[str]:
        """What nobody may be told: the key, and what may be another one in the headers."""
        headers = self.headers.values()
        bare = (value.rpartition(" ")[2] for value in headers)  # without a scheme such as "Basic"
        key = {self.api_key.reveal()} if self.api_key else set()
        return frozenset({one for one in (*headers, *bare) if len(one) >= _LEAST_SECRET} | key)

    @property
    def needs_key(self) -> bool:
        """Whether a key was configured; servers of your own often need none."""
        return bool(self.api_key or self.api_key_env or self.api_key_file)

    @property
    def active(self) -> bool:
        """Whether requests may go there: enabled, lacking nothing, and with its key if it needs one."""
        return self.enabled and not self.lacks and (self.api_key is not None or not self.needs_key)

    def why_not(self, name: str) -> str:
        """Says why requests do not go there, as an end of the sentence "provider 'x' …".

        Empty if they do.
        """
        if not self.enabled:
            return f"is disabled; set [providers.{name}] enabled = true"
        if self.lacks:
            return self.lacks
        if not self.active:
            return f"has no key; set {self.api_key_env or self.api_key_file}"
        return "" if self.models else f"offers no models; add [providers.{name}.models]"


class MCPServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A remote MCP server that requests can name."""

    url: Annotated[str, _doc("Address of the server.", read=values.http_url, type="URL")]
    description: Annotated[str, _doc("What its tools are for.")] = ""
    authorization: Annotated[
        Secret | None, _secret("Bearer token itself; better one of the next two.")
    ] = None
    authorization_env: Annotated[str, _doc("Environment variable that holds the token.")] = ""
    authorization_file: Annotated[str, _doc("File that holds the token.")] = ""
    headers: Annotated[
        dict[str, str],
        _doc("Further headers of each request.", read=values.headers, type="table of strings"),
    ] = {}
    allowed_tools: Annotated[
        tuple[str, ...], _doc("Tools that models may call; empty is all.")
    ] = ()
    require_approval: Annotated[
        Literal["always", "never"], _doc("Whether the caller must approve each call.")
    ] = "always"
    enabled: Annotated[bool, _doc("Whether the server may be used.")] = True


class MCPSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Remote MCP servers by name."""

    servers: dict[str, MCPServerSettings] = {}


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration, checked, with its secrets resolved.

    ``file`` is the file it was read from, if any; ``sources`` says for each dotted key of a section
    that was set whether by the file (its path), a variable (its name) or a flag ("flag");
    ``warnings`` are sentences for the operator. ``refreshed`` is what providers said of themselves, as
    far as a file has it; their models hold it already.
    """

    server: ServerSettings = ServerSettings()
    database: DatabaseSettings = DatabaseSettings()
    engine: EngineSettings = EngineSettings()
    routing: RoutingSettings = RoutingSettings()
    responses: ResponsesSettings = ResponsesSettings()
    egress: EgressSettings = EgressSettings()
    providers: dict[str, ProviderSettings] = {}
    mcp: MCPSettings = MCPSettings()
    file: Path | None = None
    sources: dict[str, str] = {}
    warnings: tuple[str, ...] = ()
    refreshed: dict[str, Refreshed] = {}

    def said_by(self, name: str) -> Refreshed | None:
        """Returns what a provider said of itself, where it is configured to be."""
        said, provider = self.refreshed.get(name), self.providers.get(name)
        return said if said and provider and said.of(provider.base_url) else None


def database_url(settings: Settings, home: Path) -> str:
    """Returns the database's URL: the configured one, or the SQLite file in the home folder."""
    return settings.database.url.reveal() or f"sqlite+aiosqlite:///{home / 'trunkline.db'}"


def has_password(url: str) -> bool:
    """Whether a URL carries a password, which makes it a secret."""
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return True
