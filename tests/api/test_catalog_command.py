"""``trunkline catalog refresh`` as a process, beside a simulated provider."""

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

KEY = "sk-canary-5d1f"
OSS = "openai/gpt-oss-120b"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def trunkline(tmp_path: Path, simulator: Simulator) -> Run:
    """Runs a command with the simulator in the place of Groq."""
    file = tmp_path / "trunkline.toml"
    file.touch(mode=0o600)
    file.write_text(f'[providers.groq]\nbase_url = "{simulator.base_url}"\n')

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "trunkline", *arguments],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "TRUNKLINE_HOME": str(tmp_path / "data"),
                "GROQ_API_KEY": KEY,
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


def listing(**facts: Any) -> Script:
    return Script(body=json.dumps({"data": [{"id": OSS, **facts}]}))


def shown(trunkline: Run) -> dict[str, Any]:
    done = trunkline("models", "show", OSS, "--json")
    return next(d for d in json.loads(done.stdout)["deployments"] if d["provider"] == "groq")


def test_a_refresh_shows_what_changed_and_models_show_tells_since_when(
    trunkline: Run, simulator: Simulator, tmp_path: Path
) -> None:
    listed = listing(pricing={"input": 0.1, "output": 0.60}, context_window=131_072)
    simulator.play(listed)
    done = trunkline("catalog", "refresh", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["file"] is None
    assert document["changes"] == [
        {
            "provider": "groq",
            "model": OSS,
            "fact": "input_usd",
            "before": "0.15",
            "now": "0.1",
            "configured": None,
        }
    ]
    assert document["asked"]["groq"]["not_listed"] == ["openai/gpt-oss-20b"]
    assert not (tmp_path / "data" / "catalog.json").exists()
    assert simulator.seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert shown(trunkline)["refreshed"] is None

    simulator.play(listed)
    done = trunkline("catalog", "refresh", "groq")
    assert done.stdout.splitlines()[2].split() == [OSS, "groq", "input", "0.15", "0.1"]
    assert "1 changes; written in" in done.stderr
    assert "provider 'groq' does not list openai/gpt-oss-20b" in done.stderr
    groq = shown(trunkline)
    assert (groq["input_usd"], groq["output_usd"]) == ("0.1", "0.6")
    assert groq["refreshed"]["source"] == f"{simulator.base_url}/models"
    assert groq["refreshed"]["facts"] == ["input", "output", "context"]
    table = trunkline("models", "show", OSS).stdout
    assert groq["refreshed"]["at"][:10] in table
    assert f"{simulator.base_url}/models" in table

    simulator.play(listed)
    assert "nothing changed; written in" in trunkline("catalog", "refresh").stderr


def test_a_refusal_is_told_and_a_failing_provider_keeps_its_data(
    trunkline: Run, simulator: Simulator
) -> None:
    simulator.play(listing(pricing={"input": 0.1, "output": 600}))
    done = trunkline("catalog", "refresh")
    assert done.returncode == 0
    assert (
        f"warning: {OSS} at groq: output 600 is not believed: it is 1000 times more than before"
        in done.stderr
    )
    assert shown(trunkline)["input_usd"] == "0.1"

    simulator.play(Script(status=503, body="{}"))
    done = trunkline("catalog", "refresh", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["file"], document["asked"]) == (None, {})
    assert document["failed"] == {"groq": "can be reached but failed with status 503"}
    assert "what is known of it stays" in done.stderr
    assert shown(trunkline)["input_usd"] == "0.1"


def test_who_cannot_be_asked_is_told(trunkline: Run) -> None:
    done = trunkline("catalog", "refresh", "cerebras")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("trunkline: provider 'cerebras' has no key; set CEREBRAS_API_KEY")
