"""``trunkline serve`` and the commands around it: flags, exit codes, the banner, the configuration."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.client import ask, chat, question, run, streaming
from tests.serving import ECHO, NANO, Serving, launched, running, simulated_provider
from tests.simulator import Simulator

ENGINE_OFF = "[engine]\nenabled = false\n"


def exit_of(serving: Serving) -> tuple[int, str]:
    """Waits for a start that fails; returns its exit code and the log, which holds no traceback."""
    code = serving.process.wait(60)
    assert "Traceback" not in serving.stderr()
    return code, serving.stderr()


# ----------------------------------------------------------------------------------- configuration


def test_the_default_address_is_port_7070_on_loopback(tmp_path: Path) -> None:
    shown = json.loads(run("config", "show", "--json", home=tmp_path).stdout)
    values = {row["key"]: row["value"] for row in shown}

    assert (values["server.host"], values["server.port"]) == ("127.0.0.1", 7070)


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file() -> None:
    file = f'{ENGINE_OFF}[server]\nhost = "127.0.0.2"\n'
    variable = {"TRUNKLINE_SERVER_HOST": "127.0.0.3"}
    with (
        running(config=file) as by_file,
        running(config=file, environment=variable) as by_variable,
        running(config=file, environment=variable, flags=["--host", "127.0.0.4"]) as by_flag,
    ):
        found = [serving.url.rpartition(":")[0] for serving in (by_file, by_variable, by_flag)]

    assert found == ["http://127.0.0.2", "http://127.0.0.3", "http://127.0.0.4"]


def test_the_configuration_is_looked_up_in_four_places_in_order(tmp_path: Path) -> None:
    def write(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        return path

    def used(*flags: str, **environment: str) -> str | None:
        done = run(
            *("config", "check", "--json", *flags),
            home=tmp_path,
            environment={"XDG_CONFIG_HOME": str(tmp_path / "xdg"), **environment},
            folder=folder,
        )
        assert done.returncode == 0, done.stderr
        file: str | None = json.loads(done.stdout)["file"]
        return file

    folder = tmp_path / "folder"
    folder.mkdir()
    assert used() is None
    users = write(tmp_path / "xdg" / "trunkline" / "trunkline.toml")
    assert used() == str(users)
    here = write(folder / "trunkline.toml")
    assert used() == str(here)
    named = write(tmp_path / "named.toml")
    assert used(TRUNKLINE_CONFIG=str(named)) == str(named)
    flagged = write(tmp_path / "flagged.toml")
    assert used("--config", str(flagged), TRUNKLINE_CONFIG=str(named)) == str(flagged)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[server]\nprot = 1\n", ("server.prot", "'port'")),
        ('[server]\ndrain_s = "long"\n', ("server.drain_s", "number")),
        ("[server]\nworkers = 0\n", ("server.workers", "1")),
        ("[srever]\nport = 1\n", ("srever", "'server'")),
        ('[providers.cheapest]\nbase_url = "http://127.0.0.1:1/v1"\n', ("providers.cheapest",)),
        ('[providers.local]\nbase_url = "http://127.0.0.1:1/v1"\n', ("providers.local",)),
        ("[server\n", ("not valid TOML",)),
    ],
)
def test_a_configuration_with_a_mistake_stops_the_start_with_2(
    text: str, named: tuple[str, ...]
) -> None:
    with launched(config=text) as serving:
        code, log = exit_of(serving)
        assert serving.stdout() == ""

    assert code == 2
    assert all(word in log for word in named), log


def test_a_variable_with_a_mistake_stops_the_start_with_2() -> None:
    with launched(environment={"TRUNKLINE_SERVER_PROT": "1"}) as serving:
        code, log = exit_of(serving)

    assert code == 2
    assert "TRUNKLINE_SERVER_PROT" in log
    assert "TRUNKLINE_SERVER_PORT" in log


def test_unknown_options_and_missing_files_exit_with_2(tmp_path: Path) -> None:
    for arguments in (
        ("serve", "--prot", "1"),
        ("serve", "--port", "high"),
        ("serve", "--config", str(tmp_path / "nowhere.toml")),
        ("keys", "create", "--expires", "yesterday"),
        ("nothing",),
    ):
        done = run(*arguments, home=tmp_path)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_command_that_fails_exits_with_1_and_one_line_on_stderr(tmp_path: Path) -> None:
    for arguments in (("keys", "revoke", "key_nothing"), ("explain", "req_nothing")):
        done = run(*arguments, home=tmp_path)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert len(done.stderr.splitlines()) == 1, done.stderr


def test_every_listing_command_prints_json_and_only_json_on_stdout(tmp_path: Path) -> None:
    run("keys", "create", "--name", "one", home=tmp_path)
    for arguments in (("keys", "ls"), ("config", "show"), ("config", "check"), ("doctor",)):
        done = run(*arguments, "--json", home=tmp_path)
        assert json.loads(done.stdout), arguments


def test_all_data_lies_in_the_home_folder(tmp_path: Path) -> None:
    with running(config=ENGINE_OFF, home=tmp_path / "data") as serving:
        ask(serving, "GET", "/health")
        found = {file.name for file in serving.home.iterdir()}

    assert {"key", "trunkline.db"} <= found
    assert {file.name for file in tmp_path.iterdir()} == {"data"}


# ---------------------------------------------------------------------------------------- the banner


def pasted(serving: Serving, folder: Path) -> dict[str, object]:
    """Runs the banner's curl under bash, in another folder and without our environment."""
    command = serving.stdout().partition("Try it:")[2]
    assert "curl" in command
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_banners_curl_works_as_pasted_also_on_the_second_start(tmp_path: Path) -> None:
    home = tmp_path / "a home with 'quotes'"
    with running(home=home) as first:
        shown = first.stdout()
        assert first.key in shown
        assert pasted(first, tmp_path)["object"] == "chat.completion"
        assert first.stop() == 0
    with running(home=home) as second:
        assert second.key not in second.stdout()
        assert "keys show)" in second.stdout()
        assert pasted(second, tmp_path)["object"] == "chat.completion"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_banners_curl_works_as_pasted_with_a_bootstrap_key_and_the_installed_program(
    tmp_path: Path,
) -> None:
    program = Path(sys.executable).with_name("trunkline")
    home = tmp_path / "home"
    with running(environment={"TRUNKLINE_BOOTSTRAP_KEY": "my own: bootstrap/key"}, home=home) as s:
        assert "my own" not in s.stdout()
        assert pasted(s, tmp_path)["object"] == "chat.completion"
    shown = subprocess.run(
        [program, "keys", "show"],
        env={"TRUNKLINE_HOME": str(home), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "my own: bootstrap/key\n"


def test_the_banner_comes_after_the_socket_accepts_and_lists_the_active_providers(
    running_simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-of-whoever-runs-the-tests")
    url = running_simulator.base_url
    config = (
        ENGINE_OFF
        + simulated_provider(url, ECHO, name="first")
        + simulated_provider(url, ECHO, name="second")
        + f'[providers.third]\nbase_url = "{url}"\napi_key_env = "NOT_SET"\n'
        + f'[providers.fourth]\nbase_url = "{url}"\nenabled = false\n'
    )
    with running(config=config, environment={"CEREBRAS_API_KEY": "csk-canary"}) as serving:
        socket.create_connection(("127.0.0.1", serving.port), timeout=1).close()
        banner = serving.stdout()
        assert "canary" not in banner + serving.stderr()

    listed = banner.partition("providers ")[2].partition("  key ")[0]
    assert [line.strip() for line in listed.splitlines()] == [
        "first (key from the configuration)",
        "second (key from the configuration)",
        "cerebras (key from CEREBRAS_API_KEY)",
    ]


def test_the_demo_answers_every_name_with_the_nano_model_and_uses_no_provider(
    simulator: Simulator,
) -> None:
    config = simulated_provider(simulator.base_url, ECHO, "openai/gpt-oss-20b")
    keys = {"CEREBRAS_API_KEY": "csk-1"}
    with running(config=config, flags=["--demo"], environment=keys) as serving:
        assert "DEMO" in serving.stdout()
        assert "sim" not in serving.stdout()
        assert "cerebras" not in serving.stdout()
        for name in ("openai/gpt-oss-20b", "openai/gpt-oss-120b:groq", "a/b:cheapest", "a/b:c"):
            answer = chat(serving, question(model=name, max_tokens=8))
            assert answer.status == 200, answer.body
            assert answer.headers["x-trunkline-provider"] == "local"
            assert answer.headers["x-trunkline-model"] == NANO
        with streaming(serving, question(model=ECHO, max_tokens=8)) as stream:
            assert stream.headers["x-trunkline-model"] == NANO
            assert stream.chunks()
        assert chat(serving, question(model="gpt-4")).error["code"] == "model_not_found"
        (listed,) = ask(serving, "GET", "/v1/models").json["data"]

    assert listed["id"] == NANO
    assert "demo" in listed["description"]
    assert simulator.seen == []


# ------------------------------------------------------------------------------------- what is printed


@pytest.mark.parametrize("arguments", [("models", "ls"), ("config", "show", "--json"), ("--help",)])
def test_what_cannot_be_printed_is_a_failure_with_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        done = run(*arguments, home=tmp_path, stdout=full)
    assert done.returncode == 1
    assert done.stderr == "trunkline: cannot write what is to be printed: No space left on device\n"


def test_a_reader_who_has_had_enough_is_told_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = run("config", "show", home=tmp_path, stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")
