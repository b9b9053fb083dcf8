"""From a file, the environment and flags to Settings, with every problem named at once."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import platformdirs
from msgspec import NODEFAULT, inspect

from trunkline.config import known, refreshed, values
from trunkline.config import settings as keys
from trunkline.config.refreshed import Facts, Refreshed
from trunkline.config.secrets import home, readable_by_others
from trunkline.config.settings import Secret, Settings
from trunkline.errors import ConfigError

FILE_NAME = "trunkline.toml"
FLAG = "flag"  # the source of what a command-line flag set
_MAX_SECRET_BYTES = 65_536

# The sections whose keys an environment variable can set: TRUNKLINE_SERVER_PORT.
SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "server": keys.ServerSettings,
    "database": keys.DatabaseSettings,
    "engine": keys.EngineSettings,
    "routing": keys.RoutingSettings,
    "responses": keys.ResponsesSettings,
    "egress": keys.EgressSettings,
}
_ALL_SECTIONS = (*SECTIONS, "providers", "mcp")
_NESTED = ("models", "quirks")  # tables of a provider
_OURS = "tl_"  # begins the keys that this router gives out
_NO_KEY_OF_ITS_OWN = "has no key that can be sent to it; give it one of its own"


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a section as the reference page shows it.

    ``default`` is a TOML value, or empty for a key that is unset or must be given; ``example`` is
    one that can stand in a file.
    """

    name: str
    type: str
    default: str
    example: str
    required: bool
    description: str


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Returns the configuration; flags win over the environment, the environment over the file.

    ``path`` is the file of --config; without it the file is looked up as ``locate`` says, and may
    be missing. ``overrides`` maps dotted keys (``server.port``) to the values of flags; None stands
    for a flag not given. Raises ConfigError, naming each wrong key, its source and the fix.
    """
    file = locate(path, environ)
    reading = _Reading(file=file, environ=environ)
    tables = reading.known_tables(_parse(file)) if file else {}
    reading.sources.update(
        (f"{section}.{key}", str(file)) for section in SECTIONS for key in tables.get(section, ())
    )
    _overlay(tables, reading.environment(), reading.sources)
    _overlay(tables, _given(overrides or {}), reading.sources)
    return reading.settings(tables)


def locate(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Returns the configuration file, absolute, or None if there is none.

    The order is ``path``, $TRUNKLINE_CONFIG, ./trunkline.toml, the user's configuration folder. A
    file that was named must exist: ConfigError.
    """
    for named, origin in (
        (path, "--config"),
        (environ.get("TRUNKLINE_CONFIG"), "TRUNKLINE_CONFIG"),
    ):
        if named:
            file = Path(named).expanduser().absolute()
            if not file.is_file():
                raise ConfigError(f"{origin}: no such file: {file}; 'trunkline init' writes one")
            return file
    usual = (Path.cwd() / FILE_NAME, user_file())
    return next((file for file in usual if file.is_file()), None)


def user_file() -> Path:
    """Returns the path of the user's own configuration file."""
    return platformdirs.user_config_path("trunkline", appauthor=False) / FILE_NAME


def variable(section: str, key: str) -> str:
    """Returns the name of the environment variable that sets a key."""
    return f"TRUNKLINE_{section}_{key}".upper()


def lacks_key(provider: str, *, env_keys: bool) -> str:
    """Says how a known provider gets a key, as an end of the sentence "provider 'x' …"."""
    way = f"[providers.{provider}] api_key"
    if not env_keys:
        return f"has no key; set {way} ([routing] env_keys is false)"
    return f"has no key; set {known.providers()[provider].wants_key()} or {way}"


@cache
def describe(section: type[msgspec.Struct]) -> tuple[Key, ...]:
    """Returns the keys of a section as the reference page shows them."""
    return tuple(
        Key(
            name=f.name,
            type=f.type_name,
            default=_default(f.info),
            example=_default(f.info) or f.example,
            required=f.info.required,
            description=f.description,
        )
        for f in _fields(section).values()
        if f.description
    )


@dataclass(slots=True)
class _Reading:
    """What is known while one configuration is read: its sources, and the problems so far."""

    file: Path | None
    environ: Mapping[str, str]
    sources: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    env_keys: bool = True
    refreshed: dict[str, Refreshed] = field(default_factory=dict)

    def problem(self, key: str, message: str) -> None:
        self.problems.append(f"{self._origin(key)}: {message}")

    def known_tables(self, document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Returns the sections of a file; what is none is a problem."""
        tables = {}
        for section, table in document.items():
            if section not in _ALL_SECTIONS:
                self.problem(section, f"unknown section{_closest(section, _ALL_SECTIONS)}")
            elif not isinstance(table, dict):
                self.problem(section, f"expected a table: [{section}]")
            else:
                tables[section] = dict(table)
        return tables

    def environment(self) -> dict[str, tuple[Any, str]]:
        """Returns what the environment sets, by dotted key; an empty variable counts as unset."""
        found = {}
        for name, text in sorted(self.environ.items()):
            section, _, key = name.removeprefix("TRUNKLINE_").lower().partition("_")
            if not name.startswith("TRUNKLINE_") or section not in SECTIONS or not text:
                continue
            fields = _fields(SECTIONS[section])
            if key in fields:
                found[f"{section}.{key}"] = (_from_text(fields[key], text), name)
            else:
                names = [variable(section, key) for key in fields]
                self.problems.append(f"{name}: unknown variable{_closest(name, names)}")
        return found

    def settings(self, tables: Mapping[str, dict[str, Any]]) -> Settings:
        """Reads the merged tables; raises ConfigError with all problems."""
        sections: dict[str, Any] = {
            name: self._section(struct, tables.get(name, {}), name)
            for name, struct in SECTIONS.items()
        }
        routing: keys.RoutingSettings | None = sections["routing"]
        self.env_keys = routing is None or routing.env_keys
        self._read_refreshed()
        sections["providers"] = self._providers(tables.get("providers", {}))
        sections["mcp"] = self._mcp(tables.get("mcp", {}))
        if self.problems:
            raise _config_error(self.problems)
        return Settings(
            **sections,
            file=self.file,
            sources=self.sources,
            warnings=tuple(self.warnings),
            refreshed=self.refreshed,
        )

    def _read_refreshed(self) -> None:
        try:
            self.refreshed = refreshed.read(home(self.environ))
        except ValueError as error:
            self.warnings.append(
                f"{error}; it is ignored: 'trunkline catalog refresh' writes it anew"
            )

    def _providers(self, tables: Any) -> dict[str, keys.ProviderSettings]:
        """Reads the configured providers, and adds the known ones whose key the environment has."""
        environ = self.key_environ
        bases = {
            name: self._over_known(name, one.settings(name, environ), tables)
            for name, one in known.providers().items()
            if name in tables or any(variable in environ for variable in one.key_env)
        }
        configured = self._named(
            keys.ProviderSettings, tables, "providers", values.check_provider_name, bases=bases
        )
        found = {
            name: self._with_key(name, self._under_own(name, provider))
            for name, provider in (configured | _without(bases, configured)).items()
            if provider is not None
        }
        return {
            name: provider
            for name, provider in found.items()
            if name in configured or provider.api_key is not None
        }

    def _over_known(
        self, name: str, provider: keys.ProviderSettings, tables: Any
    ) -> keys.ProviderSettings:
        """Lays what a known provider said of itself over what is shipped."""
        table = tables.get(name)
        address = table.get("base_url") if isinstance(table, dict) else None
        live = self._live(name, str(address or provider.base_url))
        models = {m: refreshed.over(offer, live.get(m)) for m, offer in provider.models.items()}
        return msgspec.structs.replace(provider, models=models)

    def _under_own(self, name: str, provider: keys.ProviderSettings) -> keys.ProviderSettings:
        """Fills in what a provider said where the configuration says nothing."""
        live = self._live(name, provider.base_url)
        if not live:
            return provider
        models = {m: refreshed.under(offer, live.get(m)) for m, offer in provider.models.items()}
        return msgspec.structs.replace(provider, models=models)

    def _live(self, name: str, base_url: str) -> Mapping[str, Facts]:
        said = self.refreshed.get(name)
        return said.models if said and said.of(base_url) else {}

    @property
    def key_environ(self) -> Mapping[str, str]:
        """The environment, as far as keys and addresses of known providers may come from it."""
        return self.environ if self.env_keys else {}

    def _with_key(self, name: str, provider: keys.ProviderSettings) -> keys.ProviderSettings:
        """Adds the key that the environment has for a known provider, and says what is lacking."""
        if not provider.enabled:
            return provider
        if provider.api_key and (reason := self._unusable(provider.api_key.reveal())):
            self._warn_of_key(f"the key of providers.{name}", reason, name)
            return msgspec.structs.replace(provider, api_key=None, lacks=_NO_KEY_OF_ITS_OWN)
        one = known.providers().get(name)
        if one is None:
            return provider
        if provider.api_key is None and not provider.needs_key:
            provider = self._with_known_key(name, provider, one)
        if provider.api_key is None or provider.base_url:
            return provider
        wanted = f"{one.wants_address(self.key_environ)} or [providers.{name}] base_url"
        return msgspec.structs.replace(provider, lacks=f"has no address; set {wanted}")

    def _with_known_key(
        self, name: str, provider: keys.ProviderSettings, one: known.KnownProvider
    ) -> keys.ProviderSettings:
        for variable in one.key_env:
            text = self.key_environ.get(variable, "").strip()
            if text and (reason := self._unusable(text)):
                self._warn_of_key(variable, reason, name)
            elif text and text.startswith(one.key_prefix):
                return msgspec.structs.replace(provider, api_key=Secret(text), api_key_env=variable)
        return msgspec.structs.replace(provider, lacks=lacks_key(name, env_keys=self.env_keys))

    def _unusable(self, key: str) -> str:
        """Says why a key must not or cannot be sent to a provider; empty if it can."""
        if key.startswith(_OURS):
            return f"begins with '{_OURS}', as the keys do that this router gives out"
        if key == self.environ.get("TRUNKLINE_BOOTSTRAP_KEY"):
            return "is this router's own, TRUNKLINE_BOOTSTRAP_KEY"
        if not (key.isascii() and key.isprintable()):
            return "is not printable ASCII"
        return ""

    def _warn_of_key(self, what: str, reason: str, provider: str) -> None:
        self.warnings.append(f"{what} {reason}; it is ignored, and not sent to '{provider}'")

    def _mcp(self, table: dict[str, Any]) -> keys.MCPSettings:
        for name in table.keys() - {"servers"}:
            self.problem(f"mcp.{name}", "unknown key; servers are [mcp.servers.NAME]")
        servers = self._named(
            keys.MCPServerSettings,
            table.get("servers", {}),
            "mcp.servers",
            values.check_server_label,
        )
        return keys.MCPSettings(servers=servers)

    def _named(
        self,
        struct: type[msgspec.Struct],
        tables: Any,
        at: str,
        check: Callable[[str], None],
        *,
        bases: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Reads a table of tables by name; ``bases`` are what is known of some without it."""
        if not isinstance(tables, dict):
            self.problem(at, f"expected tables: [{at}.NAME]")
            return {}
        read = {}
        for name, table in tables.items():
            where = f"{at}.{_quoted(name)}"
            try:
                check(name)
            except ValueError as error:
                self.problem(where, str(error))
            if isinstance(table, dict):
                read[name] = self._section(struct, table, where, bases.get(name))
            else:
                self.problem(where, f"expected a table: [{where}]")
        return read

    def _section(
        self, struct: type[msgspec.Struct], table: dict[str, Any], at: str, base: Any = None
    ) -> Any:
        """Reads one section, over ``base`` if that is given; None if it has problems."""
        fields, before = _fields(struct), len(self.problems)
        names = [name for name, f in fields.items() if f.description or name in _NESTED]
        read: dict[str, Any] = {}
        for name, value in table.items():
            key = f"{at}.{_quoted(name)}"
            if name not in names:
                self.problem(key, f"unknown key{_closest(name, names)}")
            elif name == "models":
                read[name] = self._models(value, key, base.models if base else {})
            elif name == "quirks":
                read[name] = self._quirks(value, key, base.quirks if base else keys.Quirks())
            else:
                self._value(read, fields[name], value, key)
        for name, f in fields.items():
            if f.info.required and base is None and name not in table:
                self.problem(f"{at}.{name}", f"missing: {f.description}")
        if len(self.problems) > before:
            return None
        self._resolve_secret(read, fields, at)
        self._resolve_model_path(read, at)
        if len(self.problems) > before:
            return None
        return struct(**read) if base is None else msgspec.structs.replace(base, **read)

    def _models(
        self, tables: Any, at: str, base: Mapping[str, keys.ModelSettings]
    ) -> dict[str, keys.ModelSettings]:
        read = self._named(keys.ModelSettings, tables, at, values.check_model_name, bases=base)
        return {**base, **read}

    def _quirks(self, table: Any, at: str, base: keys.Quirks) -> Any:
        if isinstance(table, dict):
            return self._section(keys.Quirks, table, at, base)
        self.problem(at, f"expected a table: [{at}]")
        return None

    def _value(self, read: dict[str, Any], f: _Field, value: Any, key: str) -> None:
        try:
            read[f.name] = f.read(value)
        except ValueError as error:
            self.problem(key, str(error))

    def _resolve_secret(self, read: dict[str, Any], fields: Mapping[str, _Field], at: str) -> None:
        """Replaces NAME_env and NAME_file by the text they lead to, as NAME."""
        for name in fields:
            ways = [way for way in (name, f"{name}_env", f"{name}_file") if read.get(way)]
            if f"{name}_env" not in fields or not ways:
                continue
            key = f"{at}.{name}"
            if len(ways) > 1:
                self.problem(key, f"given more than once: keep one of {', '.join(ways)}")
            elif ways == [name]:
                self._warn_of_literal(read[name], key)
            elif not read.get("enabled", True):
                continue
            elif ways == [f"{name}_env"]:
                self._resolve_variable(read, name, at)
            else:
                self._resolve_file(read, name, at)

    def _resolve_variable(self, read: dict[str, Any], name: str, at: str) -> None:
        variable = read[f"{name}_env"]
        if text := self.environ.get(variable, "").strip():
            read[name] = Secret(text)
        elif name != "api_key":  # without its key a provider is known, but inactive
            self.problem(f"{at}.{name}_env", f"the environment variable {variable} is not set")

    def _resolve_file(self, read: dict[str, Any], name: str, at: str) -> None:
        key = f"{at}.{name}_file"
        path = self._path(read[f"{name}_file"], key)
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_SECRET_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text"
            self.problem(key, f"cannot read {path}: {reason}")
            return
        if not text:
            self.problem(key, f"{path} is empty; write the secret into it")
        read[name] = Secret(text)

    def _warn_of_literal(self, secret: Secret, key: str) -> None:
        if self.file is None or not self._in_file(key) or not readable_by_others(self.file):
            return
        if key == "database.url" and not keys.has_password(secret.reveal()):
            return
        self.warnings.append(
            f"{self.file}: {key} is a secret and the file is readable by others; "
            f"use {key}_env or {key}_file, or 'chmod 600 {self.file}'"
        )

    def _resolve_model_path(self, read: dict[str, Any], at: str) -> None:
        if at == "engine" and read.get("model"):
            read["model"] = str(self._path(read["model"], "engine.model"))

    def _path(self, text: str, key: str) -> Path:
        """Resolves a path: one in the file counts from the file's folder, others from here."""
        base = self.file.parent if self.file and self._in_file(key) else Path.cwd()
        return base / Path(text).expanduser()

    def _in_file(self, key: str) -> bool:
        return self.sources.get(key, str(self.file)) == str(self.file)

    def _origin(self, key: str) -> str:
        source = self.sources.get(key, str(self.file) if self.file else "")
        return f"{source}: {key}" if source else key


def _parse(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"), parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid TOML: {type(error).__name__}") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def _without(tables: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: table for name, table in tables.items() if name not in names}


def _given(overrides: Mapping[str, Any]) -> dict[str, tuple[Any, str]]:
    return {key: (value, FLAG) for key, value in overrides.items() if value is not None}


def _overlay(
    tables: dict[str, dict[str, Any]],
    layer: Mapping[str, tuple[Any, str]],
    sources: dict[str, str],
) -> None:
    """Lays the keys of a layer, with their sources, over what is below.

    A secret can be given in three ways: the layer's takes the place of any below it.
    """
    for dotted in layer:
        section, _, key = dotted.partition(".")
        for way in _ways(key):
            tables.get(section, {}).pop(way, None)
            sources.pop(f"{section}.{way}", None)
    for dotted, (value, source) in layer.items():
        section, _, key = dotted.partition(".")
        tables.setdefault(section, {})[key] = value
        sources[dotted] = source


def _ways(key: str) -> tuple[str, str, str]:
    name = key.removesuffix("_env").removesuffix("_file")
    return name, f"{name}_env", f"{name}_file"


@dataclass(frozen=True, slots=True)
class _Field:
    """A key of a Struct, ready to read a TOML value."""

    name: str
    annotation: Any
    info: inspect.Field
    description: str
    example: str
    type_name: str
    reader: Callable[[Any], Any] | None

    def read(self, value: Any) -> Any:
        """Returns the setting; raises ValueError with what is expected."""
        if self.reader:
            return self.reader(value)
        try:
            return msgspec.convert(value, self.annotation)
        except msgspec.ValidationError:
            expected = f"{_article(self.type_name)}{self.type_name}"
            raise ValueError(f"expected {expected}, got {values.shown(value)}") from None


@cache
def _fields(struct: type[msgspec.Struct]) -> Mapping[str, _Field]:
    annotations = get_type_hints(struct, include_extras=True)
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType)
    return {f.name: _field(f, annotations[f.name]) for f in info.fields}


def _field(info: inspect.Field, annotation: Any) -> _Field:
    meta = info.type if isinstance(info.type, inspect.Metadata) else None
    extra = (meta and meta.extra) or {}
    schema = (meta and meta.extra_json_schema) or {}
    return _Field(
        name=info.name,
        annotation=annotation,
        info=info,
        description=schema.get("description", ""),
        example=str(schema.get("examples", [""])[0]),
        type_name=extra.get("type") or _choices(annotation) or _type_name(info.type),
        reader=extra.get("read"),
    )


def _from_text(f: _Field, text: str) -> Any:
    """Turns the text of an environment variable into a TOML value; as it is if that fails."""
    if f.type_name.startswith("list"):
        return [item.strip() for item in text.split(",") if item.strip()]
    if f.type_name.startswith("string"):
        return text
    try:
        return msgspec.convert(text, int | float | bool, strict=False)
    except msgspec.ValidationError:
        return text


def _choices(annotation: Any) -> str:
    """Names the choices of a Literal in the order of the source, which msgspec does not keep."""
    literal = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(literal) is not Literal:
        return ""
    choices = ", ".join(f'"{choice}"' for choice in get_args(literal))
    return f"one of {choices}" if "," in choices else choices


def _type_name(kind: inspect.Type) -> str:
    """Names a type and its range as the page and the messages do."""
    match kind:
        case inspect.Metadata(type=inner):
            return _type_name(inner)
        case inspect.UnionType(types=types):
            return next(_type_name(t) for t in types if not isinstance(t, inspect.NoneType))
        case inspect.IntType():
            return f"integer{_range(kind)}"
        case inspect.FloatType():
            return f"number{_range(kind)}"
        case inspect.BoolType():
            return "boolean"
        case inspect.VarTupleType():
            return "list of strings"
        case inspect.DictType():
            return "table"
        case _:
            return "string"


def _range(kind: inspect.IntType | inspect.FloatType) -> str:
    low = f"above {kind.gt}" if kind.gt is not None else kind.ge
    if low is None:
        return ""
    if kind.le is None:
        return f", {low} or more"
    return f", {low} to {kind.le}"


def _article(type_name: str) -> str:
    if type_name.startswith(("one of", '"')):
        return ""
    return "an " if type_name[0] in "aeio" else "a "


def _default(f: inspect.Field) -> str:
    default = f.default if f.default is not NODEFAULT else f.default_factory
    match default:
        case bool():
            return str(default).lower()
        case int() | float():
            return str(default)
        case str():
            return f'"{default}"'
        case Secret():
            return '""'
        case tuple():
            return "[]"
        case _:
            return "{}" if default is dict else ""


def _closest(name: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(names)}"


def _quoted(name: str) -> str:
    """Renders a key as TOML does: bare if it can be."""
    bare = name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
    return name if bare else f'"{name}"'


def _config_error(problems: list[str]) -> ConfigError:
    if len(problems) == 1:
        return ConfigError(problems[0], problems=problems)
    lines = "".join(f"\n  {problem}" for problem in problems)
    return ConfigError(f"{len(problems)} problems in the configuration:{lines}", problems=problems)
