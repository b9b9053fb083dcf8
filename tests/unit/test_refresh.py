"""What a provider's list changes in the catalogue, and what of it is not believed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trunkline.config import ProviderSettings, Settings, known, load, refreshed
from trunkline.config.refreshed import Facts, Refreshed
from trunkline.providers.prices import Entry, entries
from trunkline.providers.refresh import Merged, merged
from trunkline.routing.catalog import catalog_of

OSS = "openai/gpt-oss-120b"
AT = datetime(2026, 11, 25, 7, 0, tzinfo=UTC)
DAY_BEFORE = datetime(2026, 11, 24, 7, 0, tzinfo=UTC)
GROQ = "https://api.groq.com/openai/v1"
SHIPPED = (150_000_000, 600_000_000)


def settings(tmp_path: Path, config: str = "", **environ: str) -> Settings:
    file = tmp_path / "trunkline.toml"
    file.touch(mode=0o600)
    file.write_text(config)
    return load(file, environ={"TRUNKLINE_HOME": str(tmp_path), **environ})


def groq() -> ProviderSettings:
    return known.providers()["groq"].settings("groq", {})


def says(**facts: str | int) -> tuple[Entry, ...]:
    said = {fact: Decimal(value) for fact, value in facts.items()}
    return (Entry(id=OSS, said=said, through={}), Entry(id="other/model", said=said, through={}))


def merge(before: Refreshed | None = None, /, **facts: str | int) -> Merged:
    return merged("groq", groq(), says(**facts), before, at=AT)


def before(**facts: int) -> Refreshed:
    return Refreshed(at=DAY_BEFORE, source=f"{GROQ}/models", models={OSS: Facts(**facts)})


def test_a_price_becomes_an_integer_and_only_what_differs_is_a_change() -> None:
    found = merge(input="0.1", output="0.60", context=131_072)
    assert found.refreshed == Refreshed(
        at=AT,
        source=f"{GROQ}/models",
        models={OSS: Facts(input=100_000_000, output=600_000_000, context=131_072)},
    )
    (change,) = found.changes
    assert (change.provider, change.model, change.fact) == ("groq", OSS, "input")
    assert (change.before, change.now, change.configured) == (150_000_000, 100_000_000, None)
    assert found.refused == []


def test_a_fraction_of_a_nano_dollar_is_rounded_once() -> None:
    found = merge(input="0.1000000000000000055511151231257827")
    assert found.refreshed.models[OSS].input == 100_000_000


@pytest.mark.parametrize(
    ("fact", "said", "why"),
    [
        ("input", "-1", "it is negative"),
        ("input", "-1000000", "it is negative"),
        ("input", "0", "it is 0"),
        ("output", "1000001", "it is more than 1000000"),
        ("input", "150", "it is 1000 times more than before"),
        ("output", "0.0006", "it is 1000 times less than before"),
        ("context", "0", "it is 0"),
        ("context", "-5", "it is negative"),
        ("context", "131072.5", "it is not a whole number"),
        ("context", "9999999999", "it is more than 1000000000"),
        ("max_output", "1", "it is 1000 times less than before"),
    ],
)
def test_what_is_absurd_is_refused_with_a_word(fact: str, said: str, why: str) -> None:
    found = merge(**{fact: said})
    (refusal,) = found.refused
    assert (refusal.fact, refusal.said, refusal.why) == (fact, said, why)
    assert (found.changes, found.refreshed.models) == ((), {})


def test_what_is_refused_or_not_said_again_stays_as_it_was() -> None:
    found = merge(before(input=140_000_000, context=100_000), input="-1", output="0.7")
    assert found.refreshed.models[OSS] == Facts(
        input=140_000_000, output=700_000_000, context=100_000
    )
    assert [change.fact for change in found.changes] == ["output"]


def test_a_jump_counts_from_what_was_last_believed() -> None:
    found = merge(before(input=30_000_000_000), input="150")
    assert [(change.before, change.now) for change in found.changes] == [
        (30_000_000_000, 150_000_000_000)
    ]


def test_what_another_address_said_is_forgotten() -> None:
    elsewhere = Refreshed(at=DAY_BEFORE, source="http://x/v1/models", models={OSS: Facts(input=1)})
    assert merge(elsewhere, output="0.7").refreshed.models[OSS] == Facts(output=700_000_000)


def test_models_that_are_not_listed_are_named() -> None:
    assert merge(input="0.1").gone == ["openai/gpt-oss-20b"]


def written(tmp_path: Path, name: str = "groq", **more: Any) -> None:
    models = {OSS: Facts(input=1, output=2)}
    said: dict[str, Any] = {"at": AT, "source": f"{GROQ}/models", "models": models}
    refreshed.write(tmp_path, {name: Refreshed(**(said | more))})


def prices(found: Settings, name: str = "groq") -> tuple[int | None, int | None]:
    model = found.providers[name].models[OSS]
    return model.input, model.output


def test_the_file_lies_over_the_shipped_catalogue_and_under_the_configuration(
    tmp_path: Path,
) -> None:
    assert prices(settings(tmp_path, GROQ_API_KEY="sk")) == SHIPPED
    written(tmp_path)
    assert prices(settings(tmp_path, GROQ_API_KEY="sk")) == (1, 2)
    config = f'[providers.groq]\nmodels."{OSS}" = {{ input = 5 }}'
    assert prices(settings(tmp_path, config, GROQ_API_KEY="sk")) == (5_000_000_000, 2)
    moved = '[providers.groq]\nbase_url = "http://127.0.0.1:1/v1"'
    assert prices(settings(tmp_path, moved, GROQ_API_KEY="sk")) == SHIPPED


def test_the_file_fills_in_what_an_own_provider_leaves_out(tmp_path: Path) -> None:
    config = (
        '[providers.mine]\nbase_url = "http://127.0.0.1:1/v1/"\n'
        f'models = {{ "{OSS}" = {{ output = 5 }} }}'
    )
    written(tmp_path, "mine", source="http://127.0.0.1:1/v1/models")
    found = settings(tmp_path, config)
    assert prices(found, "mine") == (1, 5_000_000_000)
    change, _ = merged(
        "mine",
        found.providers["mine"],
        says(input="3", output="7"),
        None,
        at=AT,
    ).changes
    assert (change.fact, change.before, change.now) == ("input", None, 3_000_000_000)


def test_a_change_says_what_the_configuration_holds_against_it(tmp_path: Path) -> None:
    config = f'[providers.groq]\nmodels."{OSS}" = {{ input = 5 }}'
    provider = settings(tmp_path, config, GROQ_API_KEY="sk").providers["groq"]
    found = merged("groq", provider, says(input="0.1", output="0.7"), None, at=AT)
    assert [(c.fact, c.before, c.configured) for c in found.changes] == [
        ("input", 150_000_000, 5_000_000_000),
        ("output", 600_000_000, None),
    ]


def test_a_router_charges_what_it_last_said_of_the_provider_behind_it(tmp_path: Path) -> None:
    found = settings(tmp_path, HF_TOKEN="hf_x")
    price = catalog_of(found, engine=None).resolve(f"{OSS}:cerebras").deployments[0].price
    assert price is not None
    assert (price.input, price.output) == (350_000_000, 750_000_000)
    said = json.dumps(
        [{"id": OSS, "providers": [{"provider": "cerebras", "pricing": {"input": 0.25}}]}]
    )
    hugging_face = found.providers["huggingface"]
    result = merged("huggingface", hugging_face, entries(said.encode()), None, at=AT)
    assert [(c.provider, c.before, c.now) for c in result.changes] == [
        ("huggingface:cerebras", 350_000_000, 250_000_000)
    ]
    refreshed.write(tmp_path, {"huggingface": result.refreshed})
    found = settings(tmp_path, HF_TOKEN="hf_x")
    price = catalog_of(found, engine=None).resolve(f"{OSS}:cerebras").deployments[0].price
    assert price is not None
    assert (price.input, price.output) == (250_000_000, 750_000_000)


@pytest.mark.parametrize("text", ["", "{", '{"version":2}', '{"providers":{"groq":{}}}', "\xff"])
def test_a_spoilt_file_is_ignored_with_a_word(tmp_path: Path, text: str) -> None:
    (tmp_path / refreshed.FILE).write_text(text, encoding="latin-1")
    found = settings(tmp_path, GROQ_API_KEY="sk")
    assert prices(found) == SHIPPED
    (warning,) = found.warnings
    assert "catalog.json is not a catalogue of this version; it is ignored" in warning
