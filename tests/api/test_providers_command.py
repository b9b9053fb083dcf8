"""``trunkline providers`` and ``models`` as processes: what they print of providers, and what they ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simulator import Script, Simulator

Run = Callable[..., "subprocess.CompletedProcess[str]"]
OSS = "openai/gpt-oss-120b"
KEY = "sk-canary-4711"


@pytest.fixture
def trunkline(tmp_path: Path) -> Run:
    """Runs the program in an empty folder with an empty home; nothing may show the canary key."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "trunkline", *arguments],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "TRUNKLINE_HOME": str(tmp_path / "data"),
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert KEY not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def pointed(tmp_path: Path, simulator: Simulator) -> Simulator:
    """The simulator in the place of Groq, without a key, and as a server of one's own."""
    file = tmp_path / "trunkline.toml"
    file.touch(mode=0o600)
    file.write_text(
        f'[providers.groq]\nbase_url = "{simulator.base_url}"\n'
        f'[providers.mine]\nbase_url = "{simulator.base_url}"\n'
        f'models = {{ "o/mine" = {{ input = 0.5, output = 1 }} }}\n'
        '[providers.off]\nbase_url = "http://127.0.0.1:1/v1"\nenabled = false\n'
    )
    return simulator


def listed(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


def test_ls_shows_each_provider_with_its_state_and_where_its_key_comes_from(
    trunkline: Run, pointed: Simulator
) -> None:
    found = listed(trunkline("providers", "ls", "--json", GROQ_API_KEY=KEY))
    assert list(found)[:4] == ["groq", "mine", "off", "cerebras"]
    groq = found["groq"]
    assert (groq["state"], groq["key_source"], groq["why"]) == ("active", "GROQ_API_KEY", "")
    assert (groq["title"], groq["base_url"]) == ("Groq", pointed.base_url)
    assert groq["models"] == [OSS, "openai/gpt-oss-20b"]
    assert (found["mine"]["state"], found["mine"]["title"]) == ("active", None)
    assert found["off"]["state"] == "disabled"
    assert found["cerebras"]["state"] == "inactive"
    assert found["cerebras"]["why"].startswith("has no key; set CEREBRAS_API_KEY")
    assert len(found) == 21 + 2
    assert pointed.seen == []


def test_ls_is_a_table_for_people_and_warns_of_a_key_of_this_router(trunkline: Run) -> None:
    done = trunkline("providers", "ls", CEREBRAS_API_KEY=KEY, HF_TOKEN="tl_canary")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines[0] == ["PROVIDER", "STATE", "KEY", "FROM", "MODELS", "REMARKS"]
    assert lines[2] == ["cerebras", "active", "CEREBRAS_API_KEY", "1"]
    assert "trunkline: warning: HF_TOKEN begins with 'tl_'" in done.stderr
    assert "canary" not in done.stderr


def test_a_provider_that_answers_is_told_so(trunkline: Run, pointed: Simulator) -> None:
    done = trunkline("providers", "test", "groq", GROQ_API_KEY=KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("provider 'groq' answered in ")
    assert done.stdout.endswith("ms: it lists 1 model and did not refuse the key\n")
    (asked,) = pointed.seen
    assert (asked.method, asked.path) == ("GET", "/v1/models")
    assert asked.headers["authorization"] == f"Bearer {KEY}"

    done = trunkline("providers", "test", "mine")
    assert done.stdout.endswith("it lists 1 model; it was asked without a key\n")
    assert "authorization" not in pointed.seen[-1].headers


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (Script(status=401, body=f'{{"error":"bad key {KEY}"}}'), "does not accept the key (status 401)"),
        (Script(status=404, body="no"), "can be reached but lists no models at its address (status 404)"),
        (Script(status=429, body="{}"), "is rate limited (status 429)"),
        (Script(status=500, body="{}"), "can be reached but failed with status 500"),
        (Script(status=302, body=""), "answered with a redirect, which is not followed (status 302)"),
        (Script(body="<html>"), "answered with something that is not a list of models"),
        (Script(body='{"data":[{"name":"x"}]}'), "answered with something that is not a list of models"),
        (Script(body="7"), "answered with something that is not a list of models"),
    ],
)  # fmt: skip
def test_a_provider_that_fails_is_told_in_a_sentence(
    trunkline: Run, pointed: Simulator, script: Script, sentence: str
) -> None:
    pointed.play(script)
    done = trunkline("providers", "test", "groq", GROQ_API_KEY=KEY)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"trunkline: provider 'groq' {sentence}")


def test_the_bare_list_of_some_providers_is_read(trunkline: Run, pointed: Simulator) -> None:
    pointed.play(Script(body='[{"id":"a"},{"id":"b"}]'))
    assert "lists 2 models" in trunkline("providers", "test", "groq", GROQ_API_KEY=KEY).stdout


def test_a_provider_that_cannot_be_asked_says_why(trunkline: Run) -> None:
    for name, sentence in (
        ("groq", "provider 'groq' has no key; set GROQ_API_KEY or [providers.groq] api_key"),
        ("gorq", "unknown provider 'gorq'; 'trunkline providers ls' shows which there are"),
    ):
        done = trunkline("providers", "test", name)
        assert (done.returncode, done.stderr) == (1, f"trunkline: {sentence}\n")


def test_a_provider_that_cannot_be_reached_says_so(
    trunkline: Run, tmp_path: Path, unused_port: int
) -> None:
    file = tmp_path / "trunkline.toml"
    file.write_text(f'[providers.groq]\nbase_url = "http://127.0.0.1:{unused_port}/v1"\n')
    done = trunkline("providers", "test", "groq", GROQ_API_KEY=KEY)
    assert done.returncode == 1
    assert done.stderr == "trunkline: provider 'groq' could not be reached\n"


def test_models_ls_lists_what_the_providers_in_use_offer(
    trunkline: Run, pointed: Simulator
) -> None:
    found = listed(trunkline("models", "ls", "--json", GROQ_API_KEY=KEY))
    assert found["o/mine"]["state"] == "hosted"
    (mine,) = found["o/mine"]["deployments"]
    assert (mine["input_usd"], mine["output_usd"], mine["active"]) == ("0.5", "1", True)
    (groq,) = found[OSS]["deployments"]
    assert {name: groq[name] for name in ("provider", "id", "cached_input_usd", "context")} == {
        "provider": "groq",
        "id": OSS,
        "cached_input_usd": "0.075",
        "context": 131_072,
    }
    assert (groq["tools"], groq["structured_with_tools"], groq["vision"]) == (True, False, False)
    assert found["trunkline/gpt-oss-nano"]["deployments"] == []
    table = trunkline("models", "ls", GROQ_API_KEY=KEY).stdout
    assert "0.0375" in table
    assert "effort low/medium/high" in table
    assert "cerebras" not in table


def test_models_show_also_lists_who_would_offer_it(trunkline: Run, pointed: Simulator) -> None:
    done = trunkline("models", "show", OSS, "--json", GROQ_API_KEY=KEY)
    offers = {offer["provider"]: offer for offer in json.loads(done.stdout)["deployments"]}
    assert list(offers)[:2] == ["groq", "cerebras"]
    assert len(offers) == 21
    fireworks = offers["fireworks-ai"]
    assert (fireworks["active"], fireworks["deprecated"]) == (False, "2026-11-07")
    assert fireworks["why"].startswith("has no key")
    assert offers["nscale"]["unverified"] is True
    assert offers["groq"]["checked"] == "2026-11-22"
    table = trunkline("models", "show", OSS).stdout
    assert "deprecated 2026-11-07" in table
    assert "not verified" in table
    unknown = trunkline("models", "show", "o/unheard-of")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("trunkline: nobody is known to offer 'o/unheard-of'; ")
    hosted = trunkline("models", "show", "o/mine")
    assert (hosted.returncode, hosted.stdout.count("mine")) == (0, 2)
    assert trunkline("models", "show", "o/nothing").returncode == 1
