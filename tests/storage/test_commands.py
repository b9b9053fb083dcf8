"""``trunkline keys`` and ``trunkline explain``, beside a store that somebody else has open."""

import asyncio
import json

import pytest
import typer
from typer.testing import CliRunner

from trunkline import ids
from trunkline.accounts import Keyring, create, ensure_first_key
from trunkline.cli import keys
from trunkline.cli.explain import explain
from trunkline.errors import InvalidAPIKey, TrunklineError
from trunkline.store import Attempt, Request, open_store

commands = typer.Typer()
commands.add_typer(keys.app, name="keys")
commands.command("explain")(explain)


@pytest.fixture
def run(url, tmp_path, monkeypatch):
    """Runs a command on the database and returns its outcome."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("TRUNKLINE_CONFIG", raising=False)

    def run(*arguments):
        outcome = CliRunner().invoke(commands, arguments)
        if isinstance(outcome.exception, TrunklineError):
            raise outcome.exception
        return outcome

    return run


def reason(url, key):
    """Returns why a key is refused, None if it is not."""

    async def main():
        async with open_store(url) as store:
            await Keyring(store.keys).authenticate(key)

    try:
        asyncio.run(main())
    except InvalidAPIKey as error:
        return error.reason
    return None


def test_a_new_key_stands_alone_on_stdout_and_works(run, url):
    outcome = run("keys", "create")
    assert outcome.exit_code == 0
    key = outcome.stdout.removesuffix("\n")
    assert key.startswith("tl_")
    assert "\n" not in key
    assert "of account 'default'; the key is not shown again" in outcome.stderr
    assert reason(url, key) is None


def test_a_new_key_is_described_as_json(run):
    arguments = ("--name", "laptop", "--account", "acme", "--expires", "2999-01-31")
    made = json.loads(run("keys", "create", *arguments, "--json").stdout)
    assert made["prefix"] == made["key"][:7]
    assert (made["account"], made["name"], made["state"]) == ("acme", "laptop", "valid")
    assert made["expires_at"] == "2999-01-31T00:00:00Z"
    assert made["revoked_at"] is None
    assert made["id"].startswith("key_")


def test_keys_are_listed_as_json_and_as_a_table_but_never_shown(run):
    first = json.loads(run("keys", "create", "--json").stdout)
    second = json.loads(run("keys", "create", "--account", "acme", "--json").stdout)
    key, other = first.pop("key"), second.pop("key")
    assert json.loads(run("keys", "ls", "--json").stdout) == [first, second]
    assert json.loads(run("keys", "ls", "--account", "acme", "--json").stdout) == [second]
    table = run("keys", "ls").stdout
    assert first["id"] in table
    assert second["id"] in table
    assert key not in table
    assert other not in table


LIMITED = {
    "--models": "openai/*,sim/echo",
    "--deny-models": "openai/gpt-oss-20b",
    "--providers": "groq,local",
    "--deny-providers": "novita",
    "--max-price": "0.15/0.6",
    "--concurrency": "4",
    "--rate": "60/min",
}
SHOWN = {
    "models": ["openai/*", "sim/echo"],
    "deny_models": ["openai/gpt-oss-20b"],
    "providers": ["groq", "local"],
    "deny_providers": ["novita"],
    "max_price": {"input": "0.15", "output": "0.6"},
    "concurrency": 4,
    "rate": "60/min",
}


def test_a_key_is_made_with_limits_which_are_shown(run):
    options = [part for option in LIMITED.items() for part in option]
    made = json.loads(run("keys", "create", *options, "--json").stdout)
    assert made["limits"] == SHOWN
    assert json.loads(run("keys", "ls", "--json").stdout)[0]["limits"] == SHOWN
    assert json.loads(run("keys", "show", made["id"], "--json").stdout)["limits"] == SHOWN
    shown = run("keys", "show", made["id"]).stdout
    listed = run("keys", "ls").stdout
    for name, value in LIMITED.items():
        assert f"\n{name[2:]:<14} {value}\n" in shown
        assert f"{name[2:]}={value}" in listed
    assert made["key"] not in shown


def test_limits_are_changed_one_by_one_and_taken_away(run):
    made = json.loads(run("keys", "create", "--models", "a", "--rate", "5/s", "--json").stdout)

    def limited(*options):
        return json.loads(run("keys", "limit", made["id"], *options, "--json").stdout)["limits"]

    assert limited("--concurrency", "2") == {"models": ["a"], "concurrency": 2, "rate": "5/s"}
    assert limited("--rate", "none", "--models", "b, c") == {"models": ["b", "c"], "concurrency": 2}
    assert limited("--max-price", "/0.5") == {
        "models": ["b", "c"],
        "concurrency": 2,
        "max_price": {"output": "0.5"},
    }
    assert limited("--models", "none", "--max-price", "none", "--concurrency", "none") == {}
    assert json.loads(run("keys", "ls", "--json").stdout)[0]["limits"] == {}
    assert run("keys", "limit", made["id"]).exit_code == 2


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("--models", value) for value in ("", "a,,b", "a b", "a?", "[a]", "é")),
        *(("--max-price", value) for value in ("", "/", "0.5", "x/1", "-1/1", "1/nan", "1e9/1")),
        ("--max-price", "0.0000000001/1"),
        *(("--concurrency", value) for value in ("0", "-1", "1.5", "many", "1000000", "٣")),
        *(("--rate", value) for value in ("60", "0/s", "5/day", "1.5/s", "-1/s")),
    ],
)
def test_a_limit_that_cannot_be_read_is_a_usage_error(run, option, value):
    outcome = run("keys", "create", f"{option}={value}")
    assert outcome.exit_code == 2
    assert option in outcome.stderr
    assert json.loads(run("keys", "ls", "--json").stdout) == []


def test_a_provider_that_nobody_has_heard_of_is_warned_of(run):
    outcome = run(
        "keys", "create", "--providers", "groq,local,a*", "--deny-providers", "gorq", "--json"
    )
    assert outcome.stderr == (
        "trunkline: warning: no provider 'gorq' is known or configured; "
        "see 'trunkline providers ls'\n"
    )
    made = json.loads(outcome.stdout)
    assert "'gorq'" in run("keys", "limit", made["id"], "--rate", "5/s").stderr
    assert run("keys", "limit", made["id"], "--deny-providers", "none").stderr == ""


def test_a_key_that_is_not_there_is_neither_shown_nor_limited(run):
    for command in (("show",), ("limit", "--rate", "none")):
        with pytest.raises(TrunklineError, match="no key starts with 'key_"):
            run("keys", *command, "key_0000000000")


def test_the_keys_of_an_account_that_is_not_there_cannot_be_listed(run):
    with pytest.raises(TrunklineError, match="no account 'acme'"):
        run("keys", "ls", "--account", "acme")


def test_no_keys_are_an_empty_list(run):
    assert json.loads(run("keys", "ls", "--json").stdout) == []


def test_a_revoked_key_no_longer_counts(run, url):
    made = json.loads(run("keys", "create", "--json").stdout)
    outcome = run("keys", "revoke", made["id"])
    assert (outcome.stdout, outcome.stderr) == ("", f"revoked {made['id']}\n")
    assert json.loads(run("keys", "ls", "--json").stdout)[0]["state"] == "revoked"
    assert reason(url, made["key"]) == "revoked"


@pytest.mark.parametrize("expires", ["yesterday", "2001-01-01"])
def test_a_wrong_expiry_is_a_usage_error(run, expires):
    assert run("keys", "create", "--expires", expires).exit_code == 2


def test_the_first_key_is_shown_and_nothing_else(run, url, tmp_path):
    with pytest.raises(TrunklineError, match="no first key in"):
        run("keys", "show")

    async def main():
        async with open_store(url) as store:
            return await ensure_first_key(store, tmp_path / "home", None)

    first = asyncio.run(main())
    assert run("keys", "show").stdout == f"{first.key}\n"


@pytest.fixture
def receipt(url):
    """A receipt in the database."""

    async def main():
        async with open_store(url) as store:
            key = (await create(store)).record
            request = Request(
                id=ids.new_id("req"),
                account_id=key.account_id,
                key_id=key.id,
                created_at=ids.now(),
                api="chat",
                model="gpt-oss-20b",
                provider="acme",
                answered_model="openai/gpt-oss-20b",
                attempts=(
                    Attempt(provider="other", model="x", outcome="failed", status=503, ms=12),
                    Attempt(provider="acme", model="y", outcome="committed", ms=34),
                ),
                stream=True,
                status=200,
                prompt_tokens=10,
                completion_tokens=20,
                cost_nano_usd=123_000,
                first_token_ms=56,
                duration_ms=789,
            )
            store.requests.add(request)
            return request

    return asyncio.run(main())


def test_a_receipt_is_told_to_people(run, receipt):
    lines = run("explain", receipt.id).stdout.splitlines()
    assert lines[0].split() == ["request", receipt.id]
    assert "answered by  acme, openai/gpt-oss-20b" in lines
    assert "cost         0.000123 USD" in lines
    assert "time         789 ms, first token after 56 ms" in lines
    assert lines[-2:] == [
        "attempt 1    other, x: failed with status 503 after 12 ms",
        "attempt 2    acme, y: committed after 34 ms",
    ]


def test_a_receipt_is_told_to_programs(run, receipt):
    told = json.loads(run("explain", receipt.id, "--json").stdout)
    assert told["id"] == receipt.id
    assert told["cost_nano_usd"] == 123_000
    assert told["attempts"][0]["status"] == 503


def test_a_receipt_that_is_not_there_is_named(run):
    with pytest.raises(TrunklineError, match="no receipt of 'req_none'"):
        run("explain", "req_none")
