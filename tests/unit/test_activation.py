"""Which known providers are in use: by a key in the environment or the configuration, and when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from trunkline import config
from trunkline.config import Secret, known
from trunkline.errors import ConfigError

BIG, SMALL = "openai/gpt-oss-120b", "openai/gpt-oss-20b"
OFF = "[routing]\nenv_keys = false\n"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs each test in an empty folder, away from the configuration of whoever runs it."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def load(text: str = "", **environ: str) -> config.Settings:
    file = Path("given.toml").absolute()
    file.touch(mode=0o600)
    file.write_text(text)
    return config.load(file, environ=environ)


def active(settings: config.Settings) -> list[str]:
    return [name for name, provider in settings.providers.items() if provider.active]


def why_not(settings: config.Settings, name: str) -> str:
    return settings.providers[name].why_not(name)


def test_nothing_is_active_without_a_key() -> None:
    assert load().providers == {}
    assert load(GROQ_API_KEY="", CEREBRAS_API_KEY="  ").providers == {}


def test_a_key_in_the_environment_activates_its_provider_with_what_is_known_of_it() -> None:
    settings = load(GROQ_API_KEY=" gsk_1\n")
    assert list(settings.providers) == ["groq"]
    groq = settings.providers["groq"]
    assert (groq.active, groq.key, groq.key_source) == (True, Secret("gsk_1"), "GROQ_API_KEY")
    assert groq.base_url == "https://api.groq.com/openai/v1"
    assert groq.quirks == known.providers()["groq"].quirks
    assert groq.quirks.reasoning_in == "none"
    assert list(groq.models) == [BIG, SMALL]
    assert groq.models[SMALL].output == 300_000_000
    assert settings.warnings == ()


def test_of_several_variables_the_first_that_is_set_counts() -> None:
    assert load(FIREWORKS_AI_API_KEY="b").providers["fireworks-ai"].key == Secret("b")
    both = load(FIREWORKS_AI_API_KEY="b", FIREWORKS_API_KEY="a").providers["fireworks-ai"]
    assert (both.key, both.key_source) == (Secret("a"), "FIREWORKS_API_KEY")


def test_configured_providers_come_first_then_the_known_ones_in_their_order() -> None:
    text = '[providers.mine]\nbase_url = "http://m.test"\n[providers.novita]\napi_key = "n"\n'
    settings = load(text, NOVITA_API_KEY="x", TOGETHER_API_KEY="t", CEREBRAS_API_KEY="c")
    assert active(settings) == ["mine", "novita", "cerebras", "together"]
    assert settings.providers["novita"].key == Secret("n")
    assert settings.providers["novita"].key_source == "the configuration"


def test_the_environment_can_be_switched_off() -> None:
    settings = load(OFF, GROQ_API_KEY="g", HF_TOKEN="hf_x")
    assert settings.providers == {}
    text = f"{OFF}[providers.groq]\n[providers.databricks]\napi_key = 'd'\n"
    settings = load(text, GROQ_API_KEY="g", DATABRICKS_HOST="w.test")
    assert active(settings) == []
    assert why_not(settings, "groq") == (
        "has no key; set [providers.groq] api_key ([routing] env_keys is false)"
    )
    assert why_not(settings, "databricks").startswith("has no address")
    named = load(f"{OFF}[providers.groq]\napi_key_env = 'GROQ_API_KEY'\n", GROQ_API_KEY="g")
    assert active(named) == ["groq"]


def test_a_known_provider_needs_only_an_address_and_a_key_in_the_configuration() -> None:
    text = "[providers.cerebras]\nbase_url = 'http://127.0.0.1:9101/v1'\napi_key = 'sk-test'\n"
    cerebras = load(text).providers["cerebras"]
    assert cerebras.active
    assert (cerebras.base_url, cerebras.key) == ("http://127.0.0.1:9101/v1", Secret("sk-test"))
    assert cerebras.models[BIG].id == "gpt-oss-120b"
    assert cerebras.quirks.tool_choice == ("auto", "none")


def test_every_field_of_a_known_provider_can_be_overridden() -> None:
    text = f"""
[providers.cerebras]
local = true
headers.x-team = "a"
quirks.tool_choice = []
quirks.string_content = "all"
[providers.cerebras.models]
"{BIG}" = {{ input = 0.1, deprecated = true }}
"o/other" = {{ id = "other", efforts = ["high"], deprecated = 2027-01-31 }}
"""
    cerebras = load(text, CEREBRAS_API_KEY="c").providers["cerebras"]
    assert cerebras.active
    assert cerebras.local
    assert cerebras.headers == {"x-team": "a"}
    assert cerebras.quirks.tool_choice == ()
    assert cerebras.quirks.string_content == "all"
    assert cerebras.quirks.max_tokens_name == "max_tokens"
    big = cerebras.models[BIG]
    assert (big.id, big.input, big.output) == ("gpt-oss-120b", 100_000_000, 750_000_000)
    assert big.deprecated is True
    other = cerebras.models["o/other"]
    assert (other.id, other.efforts, str(other.deprecated)) == ("other", ("high",), "2027-01-31")


def test_a_known_provider_can_be_disabled() -> None:
    settings = load("[providers.groq]\nenabled = false\n", GROQ_API_KEY="g")
    assert why_not(settings, "groq") == "is disabled; set [providers.groq] enabled = true"


def test_a_named_variable_that_is_not_set_is_not_replaced_by_the_usual_one() -> None:
    settings = load("[providers.groq]\napi_key_env = 'OTHER_KEY'\n", GROQ_API_KEY="g")
    assert why_not(settings, "groq") == "has no key; set OTHER_KEY"


def test_a_configured_known_provider_without_a_key_says_which_to_set() -> None:
    settings = load("[providers.groq]\n[providers.huggingface]\n", HF_TOKEN="other")
    assert active(settings) == []
    assert why_not(settings, "groq") == "has no key; set GROQ_API_KEY or [providers.groq] api_key"
    assert why_not(settings, "huggingface") == (
        "has no key; set HF_TOKEN (hf_…) or [providers.huggingface] api_key"
    )


def test_a_provider_whose_address_lacks_a_part_is_inactive_until_it_is_there() -> None:
    settings = load(AWS_BEARER_TOKEN_BEDROCK="b")
    assert active(settings) == []
    assert why_not(settings, "bedrock") == (
        "has no address; set AWS_REGION or [providers.bedrock] base_url"
    )
    settings = load(AWS_BEARER_TOKEN_BEDROCK="b", AWS_REGION="eu-west-1")
    assert active(settings) == ["bedrock", "bedrock-mantle"]
    url = settings.providers["bedrock-mantle"].base_url
    assert url == "https://bedrock-mantle.eu-west-1.api.aws/v1"
    given = load("[providers.bedrock]\nbase_url = 'http://b.test'", AWS_BEARER_TOKEN_BEDROCK="b")
    assert active(given) == ["bedrock"]


@pytest.mark.parametrize(
    ("token", "found"), [("hf_abc", ["huggingface"]), ("sk-abc", []), ("tl_abc", []), ("", [])]
)
def test_hf_token_activates_its_router_only_if_it_is_one_of_theirs(
    token: str, found: list[str]
) -> None:
    assert active(load(HF_TOKEN=token)) == found


def test_a_key_of_this_router_is_never_sent_to_a_provider() -> None:
    ours = "tl_" + "0" * 36
    settings = load(GROQ_API_KEY=ours, HF_TOKEN=ours)
    assert settings.providers == {}
    assert settings.warnings == (
        "GROQ_API_KEY begins with 'tl_', as the keys do that this router gives out; it is ignored, and not sent to 'groq'",
        "HF_TOKEN begins with 'tl_', as the keys do that this router gives out; it is ignored, and not sent to 'huggingface'",
    )


def test_a_bootstrap_key_of_this_router_is_not_sent_to_a_provider_either() -> None:
    ours = "hf_of-our-own-making"
    settings = load(HF_TOKEN=ours, TRUNKLINE_BOOTSTRAP_KEY=ours)
    assert settings.providers == {}
    assert settings.warnings == (
        "HF_TOKEN is this router's own, TRUNKLINE_BOOTSTRAP_KEY; it is ignored, and not sent to 'huggingface'",
    )
    assert active(load(HF_TOKEN=ours, TRUNKLINE_BOOTSTRAP_KEY="another-of-ours-4711"))


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("[providers.groq]\napi_key = 'tl_x'", "groq"),
        ("[providers.groq]\napi_key_env = 'MY_KEY'", "groq"),
        ("[providers.mine]\nbase_url = 'http://m.test'\napi_key = 'tl_x'", "mine"),
    ],
)
def test_a_configured_key_of_this_router_is_ignored_too(text: str, source: str) -> None:
    settings = load(text, MY_KEY="tl_x")
    assert active(settings) == []
    (warning,) = settings.warnings
    assert warning.startswith(f"the key of providers.{source} begins with 'tl_'")
    assert why_not(settings, source) == (
        "has no key that can be sent to it; give it one of its own"
    )
    assert "tl_x" not in f"{settings}"


def test_a_key_that_no_header_could_carry_is_ignored() -> None:
    settings = load(GROQ_API_KEY="a\nb", CEREBRAS_API_KEY="ключ")
    assert active(settings) == []
    assert [warning.partition(";")[0] for warning in settings.warnings] == [
        "CEREBRAS_API_KEY is not printable ASCII",
        "GROQ_API_KEY is not printable ASCII",
    ]


def test_keys_do_not_show() -> None:
    settings = load(GROQ_API_KEY="gsk_canary", CEREBRAS_API_KEY="tl_canary")
    assert "canary" not in f"{settings} {settings.warnings}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("quirks = 1", "providers.groq.quirks: expected a table: [providers.groq.quirks]"),
        ("quirks.loud = 1", "providers.groq.quirks.loud: unknown key; known are max_tokens_name, "),
        (
            "quirks.tool_choice = ['any']",
            "providers.groq.quirks.tool_choice: expected a list of auto, none, required, named, got 'any'",
        ),
        ("lacks = 'x'", "providers.groq.lacks: unknown key; "),
        (
            f"models.'{BIG}'.deprecated = 'soon'",
            f"providers.groq.models.\"{BIG}\".deprecated: expected true, false or a date such as 2026-12-31, got 'soon'",
        ),
        (
            f"models.'{BIG}'.deprecated = 2026-12-31T00:00:00Z",
            f'providers.groq.models."{BIG}".deprecated: expected true, false or a date',
        ),
        (
            f"models.'{BIG}'.efforts = ['huge']",
            f'providers.groq.models."{BIG}".efforts: expected a list of none, minimal, low,',
        ),
        ("models = 1", "providers.groq.models: expected tables: [providers.groq.models.NAME]"),
    ],
)
def test_a_mistake_in_a_known_provider_is_named(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"[providers.groq]\n{text}\n")
    (found,) = caught.value.problems
    assert problem in found
