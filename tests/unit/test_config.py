"""The configuration: lookup, layers, checks, secrets."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.tools import config_page
from trunkline import config
from trunkline.cli.template import config_file
from trunkline.errors import ConfigError, StartError

PROVIDER = '[providers.acme]\nbase_url = "https://api.acme.test/v1"\n'


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs each test in an empty folder, away from the configuration of whoever runs it."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def load(text: str = "", *, environ: dict[str, str] | None = None, **flags: Any) -> config.Settings:
    file = Path("given.toml").absolute()
    if not file.exists():
        file.touch(mode=0o600)
    file.write_text(text)
    overrides = {name.replace("__", "."): value for name, value in flags.items()}
    return config.load(file, environ=environ or {}, overrides=overrides)


def problems(text: str = "", **more: Any) -> list[str]:
    """Returns what is wrong, without the path of the file."""
    with pytest.raises(ConfigError) as caught:
        load(text, **more)
    prefix = f"{Path('given.toml').absolute()}: "
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def test_without_a_file_the_defaults_hold() -> None:
    settings = config.load(environ={})
    assert settings == config.Settings()
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 7070)


def test_a_file_in_the_working_folder_is_found_before_the_users_own(own_folder: Path) -> None:
    from trunkline.config.load import user_file

    user_file().parent.mkdir(parents=True)
    user_file().write_text("server.port = 1")
    assert config.load(environ={}).server.port == 1
    (own_folder / "trunkline.toml").write_text("server.port = 2")
    assert config.load(environ={}).server.port == 2


def test_a_named_file_is_taken_before_any_that_is_found(own_folder: Path) -> None:
    for number, name in enumerate(("trunkline.toml", "variable.toml", "flag.toml")):
        (own_folder / name).write_text(f"server.port = {number}")
    environ = {"TRUNKLINE_CONFIG": "variable.toml"}
    assert config.load(environ=environ).server.port == 1
    assert config.load(Path("flag.toml"), environ=environ).server.port == 2


def test_a_named_file_must_exist(own_folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config: no such file: .*nope\.toml"):
        config.load(Path("nope.toml"), environ={})
    with pytest.raises(ConfigError, match=r"TRUNKLINE_CONFIG: no such file: .*nope\.toml"):
        config.load(environ={"TRUNKLINE_CONFIG": "nope.toml"})


def test_flags_win_over_the_environment_and_the_environment_over_the_file() -> None:
    text = "[server]\nport = 1\nworkers = 1\nhost = 'file'"
    environ = {"TRUNKLINE_SERVER_PORT": "2", "TRUNKLINE_SERVER_WORKERS": "2"}
    settings = load(text, environ=environ, server__port=3, server__host=None)
    assert (settings.server.port, settings.server.workers, settings.server.host) == (3, 2, "file")
    assert settings.sources == {
        "server.port": "flag",
        "server.workers": "TRUNKLINE_SERVER_WORKERS",
        "server.host": str(settings.file),
    }


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("TRUNKLINE_SERVER_HOST", "0.0.0.0", "server.host", "0.0.0.0"),
        (
            "TRUNKLINE_SERVER_ALLOWED_HOSTS",
            "a.test, B.test,",
            "server.allowed_hosts",
            ("a.test", "b.test"),
        ),
        ("TRUNKLINE_SERVER_ACCESS_LOG", "false", "server.access_log", False),
        ("TRUNKLINE_SERVER_LOG_LEVEL", "debug", "server.log_level", "debug"),
        ("TRUNKLINE_DATABASE_URL", "sqlite:///x", "database.url", config.Secret("sqlite:///x")),
        ("TRUNKLINE_ENGINE_TEMPERATURE", "1", "engine.temperature", 1.0),
        ("TRUNKLINE_ENGINE_NAME", "17", "engine.name", "17"),
        ("TRUNKLINE_ROUTING_HALF_LIFE_S", "1.5", "routing.half_life_s", 1.5),
        ("TRUNKLINE_RESPONSES_RETENTION_DAYS", "0", "responses.retention_days", 0.0),
        (
            "TRUNKLINE_EGRESS_ALLOW",
            "10.0.0.0/8,mcp.test",
            "egress.allow",
            ("10.0.0.0/8", "mcp.test"),
        ),
        ("TRUNKLINE_SERVER_PORT", "", "server.port", 7070),
    ],
)
def test_the_environment_sets_keys(variable: str, text: str, key: str, value: object) -> None:
    section, name = key.split(".")
    assert getattr(getattr(load(environ={variable: text}), section), name) == value


def test_variables_of_other_programs_are_left_alone() -> None:
    environ = {"TRUNKLINE_API_KEY": "x", "TRUNKLINE_PORT_7070_TCP": "x", "SERVER_PORT": "x"}
    assert load(environ=environ).server == config.ServerSettings()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server]\nprot = 1", "server.prot: unknown key; did you mean 'port'?"),
        ("[sever]", "sever: unknown section; did you mean 'server'?"),
        ("server = 1", "server: expected a table: [server]"),
        ("server.port = '1'", "server.port: expected an integer, 0 to 65535, got '1'"),
        ("server.port = 65536", "server.port: expected an integer, 0 to 65535, got 65536"),
        ("server.port = true", "server.port: expected an integer, 0 to 65535, got true"),
        ("server.workers = 2.0", "server.workers: expected an integer, 1 to 256, got 2.0"),
        ("server.host = ''", "server.host: expected a string that is not empty"),
        ("server.access_log = 'no'", "server.access_log: expected a boolean, got 'no'"),
        ("server.log_level = 'loud'", 'server.log_level: expected one of "debug", "info", "warning", "error", got \'loud\''),
        ("server.drain_s = -1", "server.drain_s: expected a number, 0 to 86400, got -1"),
        ("server.body_timeout_s = nan", "server.body_timeout_s: expected a number, above 0 to 86400, got NaN"),
        ("server.body_timeout_s = inf", "server.body_timeout_s: expected a number, above 0 to 86400, got Infinity"),
        ("server.allowed_hosts = 'a.test'", "server.allowed_hosts: expected a list of strings, got 'a.test'"),
        ("server.allowed_hosts = ['http://a.test']", "server.allowed_hosts: expected host names without scheme and port, got 'http://a.test'"),
        ("engine.temperature = 3", "engine.temperature: expected a number, 0 to 2, got 3"),
        ("engine.name = 'a b'", "engine.name: expected a name without spaces, got 'a b'"),
        ("routing.preferred = ['local']", "routing.preferred: 'local' is reserved: a model name may end in ':local'; choose another"),
        ("responses.retention_days = -1", "responses.retention_days: expected a number, 0 to 36500, got -1"),
        ("responses.dialect = 'azure'", 'responses.dialect: expected one of "openai", "open-responses", got \'azure\''),
        ("egress.allow = ['10.0.0.1/8']", "egress.allow: '10.0.0.1/8' has bits set behind its prefix; did you mean '10.0.0.0/8'?"),
        ("egress.allow = ['10.0.0.0/33']", "egress.allow: expected a network such as '10.0.0.0/8', got '10.0.0.0/33'"),
        ("egress.allow = ['*.test']", "egress.allow: expected networks such as '10.0.0.0/8' or host names, got '*.test'"),
        ("providers = 1", "providers: expected a table: [providers]"),
        ("[providers.acme]", "providers.acme.base_url: missing: Address up to and without `/chat/completions`."),
        ("[providers]\nacme = 1", "providers.acme: expected a table: [providers.acme]"),
        (PROVIDER.replace("acme]", "Acme]"), "providers.Acme: expected a name of lower-case letters, digits and '-', got 'Acme'"),
        (PROVIDER.replace("acme]", "fastest]"), "providers.fastest: 'fastest' is reserved: a model name may end in ':fastest'; choose another"),
        ("providers.acme.base_url = 'api.acme.test'", "providers.acme.base_url: expected a URL such as 'https://api.example.com/v1'"),
        ("providers.acme.base_url = 'https://a.test:x'", "providers.acme.base_url: expected a URL such as 'https://api.example.com/v1'"),
        ("providers.acme.base_url = 'https://a.test/?k=v'", "providers.acme.base_url: expected a URL without '?': paths are appended to it"),
        ("providers.acme.base_url = 'https://me:pw@a.test'", "providers.acme.base_url: expected a URL without credentials and without '#'"),
        (PROVIDER + "dialect = 'x'", "providers.acme.dialect: expected \"openai\", got 'x'"),
        (PROVIDER + "api_key = 12345", "providers.acme.api_key: expected a string"),
        (PROVIDER + "headers.Host = 'x'", "providers.acme.headers: the header 'Host' is set by the router; remove it"),
        (PROVIDER + "headers.'a b' = 'x'", "providers.acme.headers: 'a b' is not a header name"),
        (PROVIDER + 'headers.a = "x\\r\\ny"', "providers.acme.headers: expected printable ASCII as the value of the header 'a'"),
        (PROVIDER + "models.'a b' = {}", "providers.acme.models.\"a b\": expected a model name without spaces, got 'a b'"),
        (PROVIDER + "models.'o/m'.input = '1'", "providers.acme.models.\"o/m\".input: expected a price in USD, got '1'"),
        (PROVIDER + "models.m.input = -0.1", "providers.acme.models.m.input: expected a price in USD, 0 to 1000000, got -0.1"),
        (PROVIDER + "models.m.input = 0.0000000001", "providers.acme.models.m.input: expected a price of at most 9 decimals, got 1E-10"),
        (PROVIDER + "models.m.context = 0", "providers.acme.models.m.context: expected an integer, 1 or more, got 0"),
        (PROVIDER + "models.m.contxt = 1", "providers.acme.models.m.contxt: unknown key; did you mean 'context'?"),
        ("[mcp.server.a]", "mcp.server: unknown key; servers are [mcp.servers.NAME]"),
        ("[mcp.servers.a]\nurl = 'ftp://a.test'", "mcp.servers.a.url: expected a URL such as 'https://api.example.com/v1'"),
        ("[mcp.servers.'a b']\nurl = 'https://a.test'", "mcp.servers.\"a b\": expected a name of letters, digits, '-' and '_', got 'a b'"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_what_is_expected(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_a_wrong_variable_or_flag_is_named_as_such() -> None:
    environ = {"TRUNKLINE_SERVER_PRT": "1", "TRUNKLINE_SERVER_PORT": "x"}
    assert problems(environ=environ, engine__queue=-1) == [
        "TRUNKLINE_SERVER_PRT: unknown variable; did you mean 'TRUNKLINE_SERVER_PORT'?",
        "TRUNKLINE_SERVER_PORT: server.port: expected an integer, 0 to 65535, got 'x'",
        "flag: engine.queue: expected an integer, 0 to 100000, got -1",
    ]


def test_all_problems_are_in_the_message() -> None:
    with pytest.raises(ConfigError) as caught:
        load("server.port = -1\nengine.slots = 0")
    assert caught.value.message.splitlines() == [
        "2 problems in the configuration:",
        *(f"  {problem}" for problem in caught.value.problems),
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[server]\nport == 1\n", r"not valid TOML: .*line 2"),
        (b"a = '\xff'", "not valid TOML: UnicodeDecodeError"),
        (b"[server]\nport = 1\nport = 2\n", r"not valid TOML: .*line 3"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_with_the_line(content: bytes, reason: str) -> None:
    Path("bad.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"bad\.toml: {reason}"):
        config.load(Path("bad.toml"), environ={})


def test_a_provider_is_read_whole() -> None:
    settings = load("""
        [providers.acme]
        base_url = "https://api.acme.test/v1/"
        local = true
        headers = { X-Title = "me" }
        models."openai/gpt-oss-20b" = { id = "gpt-20b", input = 0.15, output = 1, context = 131072 }
    """)
    acme = settings.providers["acme"]
    assert acme.base_url == "https://api.acme.test/v1"
    assert acme.headers == {"X-Title": "me"}
    assert acme.models == {
        "openai/gpt-oss-20b": config.ModelSettings(
            id="gpt-20b", input=150_000_000, output=1_000_000_000, context=131072
        )
    }
    assert (acme.key, acme.needs_key, acme.active) == (None, False, True)


@pytest.mark.parametrize(
    ("price", "nano"),
    [
        ("0.15", 150_000_000),
        ("0", 0),
        ("0.000000001", 1),
        ("999999.999999999", 999_999_999_999_999),
    ],
)
def test_prices_are_exact_nano_dollars(price: str, nano: int) -> None:
    settings = load(f"{PROVIDER}models.m.output = {price}")
    assert settings.providers["acme"].models["m"].output == nano


def test_an_mcp_server_is_read_whole() -> None:
    settings = load(
        """
        [mcp.servers.Wiki_1]
        url = "https://mcp.test/mcp?team=1"
        description = "the wiki"
        authorization_env = "WIKI_TOKEN"
        allowed_tools = ["search"]
        require_approval = "never"
        """,
        environ={"WIKI_TOKEN": "t0ken"},
    )
    assert settings.mcp.servers == {
        "Wiki_1": config.MCPServerSettings(
            url="https://mcp.test/mcp?team=1",
            description="the wiki",
            authorization=config.Secret("t0ken"),
            authorization_env="WIKI_TOKEN",
            allowed_tools=("search",),
            require_approval="never",
        )
    }


def test_paths_in_the_file_count_from_its_folder_and_others_from_here(own_folder: Path) -> None:
    (own_folder / "etc").mkdir()
    (own_folder / "etc" / "key").write_text("k3y\n")
    file = own_folder / "etc" / "trunkline.toml"
    file.write_text(f"engine.model = 'a.gguf'\n{PROVIDER}api_key_file = 'key'")
    settings = config.load(file, environ={})
    assert settings.engine.model == str(own_folder / "etc" / "a.gguf")
    assert settings.providers["acme"].key == config.Secret("k3y")
    settings = config.load(file, environ={}, overrides={"engine.model": "b.gguf"})
    assert settings.engine.model == str(own_folder / "b.gguf")


def test_a_key_is_taken_from_its_variable() -> None:
    text = PROVIDER + "api_key_env = 'ACME_KEY'"
    acme = load(text, environ={"ACME_KEY": " k3y\n"}).providers["acme"]
    assert (acme.key, acme.active) == (config.Secret("k3y"), True)


@pytest.mark.parametrize("environ", [{}, {"ACME_KEY": ""}, {"ACME_KEY": " "}])
def test_a_provider_without_its_key_is_known_but_inactive(environ: dict[str, str]) -> None:
    acme = load(PROVIDER + "api_key_env = 'ACME_KEY'", environ=environ).providers["acme"]
    assert (acme.key, acme.needs_key, acme.active) == (None, True, False)


def test_a_disabled_provider_is_inactive_and_its_secrets_are_not_read() -> None:
    acme = load(PROVIDER + "enabled = false\napi_key_file = 'missing'").providers["acme"]
    assert (acme.key, acme.active) == (None, False)


def test_a_secret_given_twice_is_refused() -> None:
    assert problems(PROVIDER + "api_key = 'a'\napi_key_file = 'b'") == [
        "providers.acme.api_key: given more than once: keep one of api_key, api_key_file"
    ]


def test_a_secret_of_the_environment_takes_the_place_of_the_files() -> None:
    settings = load("database.url_env = 'DSN'", environ={"TRUNKLINE_DATABASE_URL": "sqlite:///x"})
    assert settings.database.url.reveal() == "sqlite:///x"
    assert settings.database.url_env == ""


def test_a_missing_variable_or_file_is_named(own_folder: Path) -> None:
    (own_folder / "empty").touch()
    (own_folder / "binary").write_bytes(b"\xff")
    assert problems("database.url_env = 'DSN'") == [
        "database.url_env: the environment variable DSN is not set"
    ]
    for name, reason in [
        ("missing", f"cannot read {own_folder}/missing: No such file or directory"),
        ("empty", f"{own_folder}/empty is empty; write the secret into it"),
        ("binary", f"cannot read {own_folder}/binary: not a text"),
    ]:
        assert problems(f"{PROVIDER}api_key_file = '{name}'") == [
            f"providers.acme.api_key_file: {reason}"
        ]


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (PROVIDER + "api_key = 'k3y'", True),
        ("database.url = 'postgresql://me:pw@db.test/x'", True),
        ("database.url = 'sqlite:///x'", False),
        (PROVIDER + "api_key_env = 'ACME_KEY'", False),
    ],
)
def test_a_literal_secret_in_a_file_that_others_read_is_warned_of(text: str, warned: bool) -> None:
    assert load(text).warnings == ()
    Path("given.toml").chmod(0o640)
    warnings = load(text).warnings
    assert bool(warnings) == warned
    assert "k3y" not in str(warnings)


def test_secrets_do_not_show() -> None:
    settings = load(PROVIDER + "api_key = 'k3y'", database__url="postgresql://me:k3y@db.test/x")
    assert settings.providers["acme"].api_key == config.Secret("k3y")
    assert "k3y" not in f"{settings!r} {settings} {settings.database.url}"


def test_without_a_url_the_database_is_a_file_in_the_home_folder() -> None:
    assert config.database_url(load(), Path("/data")) == "sqlite+aiosqlite:////data/trunkline.db"
    given = load(database__url="postgresql://db.test/x")
    assert config.database_url(given, Path("/data")) == "postgresql://db.test/x"


def test_the_home_folder_is_the_named_one_or_the_platforms(tmp_path: Path) -> None:
    assert config.home({"TRUNKLINE_HOME": "data"}) == Path("data").absolute()
    assert config.home({}).is_relative_to(tmp_path)


def test_the_home_folder_is_made_private_or_the_reason_told(tmp_path: Path) -> None:
    for _ in range(2):
        config.make_home(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"cannot make the folder .*; set TRUNKLINE_HOME"):
        config.make_home(tmp_path / "file" / "home")


def test_the_installation_secret_is_made_once_and_private(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    made = config.secret(home, {})
    assert len(made) == 64
    assert config.secret(home, {}) == made
    assert (home / "secret").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in home.iterdir()] == ["secret"]


def test_of_several_starters_all_get_the_same_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: config.secret(tmp_path / "home", {}), range(32)))
    assert len(made) == 1


def test_the_installation_secret_can_be_given(tmp_path: Path) -> None:
    assert config.secret(tmp_path, {"TRUNKLINE_SECRET": "0123456789abcdef"}) == b"0123456789abcdef"
    assert not (tmp_path / "secret").exists()
    with pytest.raises(ConfigError, match="TRUNKLINE_SECRET: expected a secret of at least 16"):
        config.secret(tmp_path, {"TRUNKLINE_SECRET": "short"})


def test_a_secret_that_cannot_be_kept_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match="set TRUNKLINE_HOME"):
        config.secret(tmp_path / "file" / "home", {})
    (tmp_path / "secret").write_text("cut")
    with pytest.raises(ConfigError, match=r"secret: expected a secret of at least 16"):
        config.secret(tmp_path, {})


def test_derived_keys_are_those_of_rfc_5869() -> None:
    # HKDF-SHA256 by hand: extract with a salt of zeros, then the first block of expand.
    import hashlib
    import hmac

    extracted = hmac.digest(bytes(32), b"0123456789abcdef", hashlib.sha256)
    expected = hmac.digest(extracted, b"cookies\x01", hashlib.sha256)
    assert config.derive(b"0123456789abcdef", "cookies") == expected
    assert config.derive(b"0123456789abcdef", "tokens") != expected


def test_a_private_file_is_replaced_or_kept(tmp_path: Path) -> None:
    file = tmp_path / "file"
    assert config.create_private(file, b"one")
    assert not config.create_private(file, b"two")
    assert file.read_bytes() == b"one"
    config.replace_private(file, b"three")
    assert file.read_bytes() == b"three"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.glob(".file*")) == []


def test_the_reference_page_lists_every_key() -> None:
    page = config_page.PAGE.read_text(encoding="utf-8")
    assert page == config_page.with_tables(page), "run python -m tests.tools.config_page"


@pytest.mark.parametrize(
    "struct",
    [
        *config.SECTIONS.values(),
        config.ProviderSettings,
        config.ModelSettings,
        config.Quirks,
        config.MCPServerSettings,
    ],
)
def test_every_key_is_described(struct: type[msgspec.Struct]) -> None:
    described = [key.name for key in config.describe(struct)]
    others = {"models", "quirks", "lacks"}  # two have tables of their own, one is found out
    assert described == [f for f in struct.__struct_fields__ if f not in others]


def test_the_file_that_init_writes_is_valid_as_it_is_and_with_each_key_set() -> None:
    text = config_file()
    assert load(text) == config.Settings(file=Path("given.toml").absolute())
    settings = load(re.sub(r"^#(?! )", "", text, flags=re.MULTILINE))
    assert settings.engine == config.EngineSettings(temperature=1.0)
    assert settings.server == config.ServerSettings()
    assert list(settings.providers) == ["example", "workstation"]


def test_listing_the_commands_loads_nothing_heavy() -> None:
    heavy = {"aiohttp", "alembic", "cryptography", "jsonschema", "rich", "sqlalchemy", "starlette"}
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, trunkline.__main__; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert heavy.isdisjoint(loaded)
