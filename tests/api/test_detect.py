"""``trunkline providers detect``: each server is told by its own endpoints, and the file stays one's own."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.simulator import servers
from tests.simulator.servers import Answers, standing_in
from trunkline import config
from trunkline.cli import app
from trunkline.providers.detect import PORTS, Model, detect, public_name
from trunkline.routing.catalog import catalog_of

SMALL, LARGE = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
MINE = """\
# My own file.
[server]
port = 7071   # as agreed

[providers.groq]
api_key = "sk-canary"
"""

Detect = Callable[..., Result]


@pytest.fixture
def detecting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Detect:
    """Runs the command over a configuration file, with a home of its own."""
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def run(port: int, *flags: str) -> Result:
        arguments = ["providers", "detect", "--port", str(port), *flags]
        done = CliRunner().invoke(app, arguments)
        assert "canary" not in done.output
        return done

    return run


def loaded(file: Path) -> config.Settings:
    return config.load(file, environ={"TRUNKLINE_HOME": str(file.parent / "data")})


@pytest.mark.parametrize(
    ("answers", "name", "models"),
    [
        (servers.OLLAMA, "ollama", [Model(name=SMALL, id="gpt-oss:20b")]),
        (servers.LM_STUDIO, "lm-studio", [Model(name=SMALL, id=SMALL, context=8192)]),
        (
            servers.LLAMA_CPP,
            "llama-cpp",
            [
                Model(
                    name=LARGE, id="/models/gpt-oss-120b-mxfp4-00001-of-00003.gguf", context=16_384
                )
            ],
        ),
        (servers.SGLANG, "sglang", [Model(name=SMALL, id=SMALL, context=131_072)]),
        (
            servers.VLLM,
            "vllm",
            [Model(name="mine/tuned-model", id="mine/tuned model", context=32_768)],
        ),
    ],
)
def test_each_server_is_told_by_its_own_endpoints(
    answers: Answers, name: str, models: list[Model]
) -> None:
    with standing_in(answers) as port:
        (found,) = asyncio.run(detect([port]))
    assert (found.name, found.port, list(found.models), found.why) == (name, port, models, "")


def test_who_is_none_of_them_is_not_found(unused_port: int) -> None:
    with standing_in(servers.TRUNKLINE) as ours, standing_in({"": (200, [1])}) as other:
        assert asyncio.run(detect([ours, other, unused_port])) == []


def test_a_server_that_wants_a_key_is_found_without_models() -> None:
    with standing_in(servers.VLLM, key="vllm-canary") as port:
        (found,) = asyncio.run(detect([port]))
        (refused,) = asyncio.run(detect([port], keys={port: "another"}))
        (listed,) = asyncio.run(detect([port], keys={port: "vllm-canary"}))
    assert (found.name, found.models) == ("vllm", ())
    assert found.why.startswith("wants a key: give [providers.vllm] its base_url and api_key_env")
    assert refused.why == "does not list its models with the configured key"
    assert [model.id for model in listed.models] == ["mine/tuned model"]


def test_a_server_that_wants_a_key_is_asked_with_the_configured_one(
    detecting: Detect, tmp_path: Path
) -> None:
    file = tmp_path / "trunkline.toml"
    file.touch(mode=0o600)
    with standing_in(servers.VLLM, key="vllm-canary") as port:
        file.write_text(
            f'[providers.gpu]\nbase_url = "http://localhost:{port}/v1"\napi_key = "vllm-canary"\n'
        )
        done = detecting(port, "--write")
    assert done.exit_code == 0
    assert loaded(file).providers["gpu"].models["mine/tuned-model"].id == "mine/tuned model"


@pytest.mark.parametrize("context", [-1, 0, 10**20, 0.5, "8192", True, None])
def test_a_context_that_cannot_be_meant_is_not_written_down(context: Any) -> None:
    listed = {"data": [{"id": "m", "max_model_len": context}]}
    with standing_in({**servers.VLLM, "/v1/models": (200, listed)}) as port:
        (found,) = asyncio.run(detect([port]))
    assert [model.context for model in found.models] == [8192 if context == "8192" else None]


def test_the_usual_ports_are_those_of_their_documents() -> None:
    assert sorted(PORTS) == [1234, 8000, 8080, 11434, 30000]


@pytest.mark.parametrize(
    ("id_", "name"),
    [
        ("gpt-oss:20b", SMALL),
        ("gpt-oss:latest", "gpt-oss:latest"),
        ("gpt-oss-120b", LARGE),
        ("gpt-oss-20b-MXFP4.gguf", SMALL),
        ("gpt-oss-20b-Q4_K_M", SMALL),
        ("gpt-oss-20b-derestricted", "gpt-oss-20b-derestricted"),
        ("openai/gpt-oss-120b-Turbo", "openai/gpt-oss-120b-Turbo"),
        ("llama3.2:3b", "llama3.2:3b"),
        ("C:\\models\\phi 4.gguf", "local/phi-4"),
    ],
)
def test_a_known_model_has_its_known_name(id_: str, name: str) -> None:
    assert public_name(id_) == name


def test_without_write_nothing_is_written(detecting: Detect, tmp_path: Path) -> None:
    with standing_in(servers.OLLAMA) as port:
        done = detecting(port)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[2].split() == [
        "Ollama",
        f"http://127.0.0.1:{port}/v1",
        "ollama",
        SMALL,
        "gpt-oss:20b",
        "–",
    ]
    assert "[providers.ollama]" in done.stderr
    assert not (tmp_path / "trunkline.toml").exists()


@pytest.mark.parametrize("before", [MINE, MINE.rstrip(), MINE.replace("\n", "\r\n"), ""])
def test_write_leaves_every_line_as_it_was(detecting: Detect, tmp_path: Path, before: str) -> None:
    real = tmp_path / "real.toml"
    real.write_bytes(before.encode())
    real.chmod(0o640)
    file = tmp_path / "trunkline.toml"
    file.symlink_to(real)
    with standing_in(servers.LLAMA_CPP) as port:
        done = detecting(port, "--write", "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["file"] == str(file)
        again = detecting(port, "--write", "--json")
        assert json.loads(again.stdout)["file"] is None
        assert json.loads(again.stdout)["servers"][0]["models"][0]["configured"] is True
    after = real.read_bytes().decode()
    assert after.startswith(before)
    assert ("\r\n" in after.replace(before, "")) == ("\r\n" in before)
    assert (file.is_symlink(), stat.S_IMODE(real.stat().st_mode)) == (True, 0o640)
    provider = loaded(file).providers["llama-cpp"]
    assert (provider.base_url, provider.local) == (f"http://127.0.0.1:{port}/v1", True)
    assert provider.models[LARGE].context == 16_384


def test_what_is_found_joins_local_and_no_policy(detecting: Detect, tmp_path: Path) -> None:
    (tmp_path / "trunkline.toml").write_text(MINE)
    with standing_in(servers.OLLAMA) as port:
        assert detecting(port, "--write").exit_code == 0
    catalog = catalog_of(loaded(tmp_path / "trunkline.toml"), engine=None)

    for suffix in ("local", "ollama"):
        (own,) = catalog.resolve(f"{SMALL}:{suffix}").deployments
        assert (own.provider, own.local, own.reserve) == ("ollama", True, True)
    reserve = {d.provider: d.reserve for d in catalog.resolve(SMALL).deployments}
    assert reserve == {"groq": False, "ollama": True}


def test_a_new_model_joins_the_table_of_its_server(detecting: Detect, tmp_path: Path) -> None:
    file = tmp_path / "trunkline.toml"
    with standing_in(servers.SGLANG) as port:
        mine = f'[providers.box]\nbase_url = "http://localhost:{port}/v1"\n'
        file.write_text(mine)
        assert detecting(port, "--write").exit_code == 0
        assert list(loaded(file).providers["box"].models) == [SMALL]
        assert loaded(file).providers["box"].local is False

        file.write_text(f"{mine}models = {{ a = {{}} }}\n")
        done = detecting(port, "--write")
        assert (done.exit_code, file.read_text()) == (1, f"{mine}models = {{ a = {{}} }}\n")
        assert "add them by hand" in str(done.exception)


def test_a_name_that_is_taken_gets_the_port(detecting: Detect, tmp_path: Path) -> None:
    taken = '[providers.vllm]\nbase_url = "http://10.0.0.1:8000/v1"\n'
    (tmp_path / "trunkline.toml").write_text(taken)
    with standing_in(servers.VLLM) as port:
        found: Any = json.loads(detecting(port, "--json").stdout)["servers"]
    assert found[0]["provider"] == f"vllm-{port}"


def test_nothing_found_is_said(detecting: Detect, unused_port: int) -> None:
    done = detecting(unused_port)
    assert (done.exit_code, done.stderr) == (0, "found none of them\n")
