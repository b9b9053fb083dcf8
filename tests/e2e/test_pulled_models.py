"""Real weights from outside: pulled from a stand-in of the hub, served, shown and removed.

The stand-in's files are the built-in model under the names of the real ones.
"""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests import hub as hubs
from tests.e2e.client import ask, chat, question, run, until
from tests.hub import StandIn
from tests.serving import ECHO, NANO, Serving, running, simulated_provider
from tests.simulator import Simulator
from tests.terminal import CTRL_C, on_terminal
from trunkline.engine import model

SMALL, LARGE = hubs.SMALL.name, hubs.LARGE.name
FILE = hubs.SMALL_FILE
CONTENT = model.NANO.read_bytes()
ONE_THREAD = "[engine]\nthreads = 1\n"  # as nano's own card says


def trunkline(home: Path, hub: StandIn, *words: str) -> subprocess.CompletedProcess[str]:
    return run(*words, home=home, environment={"HF_ENDPOINT": hub.url})


def pulled(home: Path, hub: StandIn, name: str = SMALL) -> Path:
    done = trunkline(home, hub, "models", "pull", name)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def capital(serving: Serving, name: str) -> tuple[str, dict[str, str]]:
    """Returns what a model says is the capital of France, and the answer's headers."""
    answer = chat(serving, {**question(), "model": name, "temperature": 0, "max_tokens": 200})
    assert answer.status == 200, answer.body
    return answer.json["choices"][0]["message"]["content"], answer.headers


def engines(serving: Serving) -> set[str]:
    """The models whose engines have been started."""
    return {event["model"] for event in serving.log() if event["event"] == "engine_ready"}


def oversized(content: bytes) -> bytes:
    """The model with so many layers by its header that no machine holds its cache."""
    key = b"gpt-oss.block_count" + struct.pack("<I", 4)
    at = content.index(key) + len(key)
    return content[:at] + struct.pack("<I", 1 << 30) + content[at + 4 :]


@pytest.mark.parametrize("flags", [[], ["--workers", "2"]], ids=["alone", "workers"])
def test_pulled_models_answer_each_on_an_engine_of_its_own(hub, tmp_path, flags):
    paths = [pulled(tmp_path, hub, name) for name in (SMALL, LARGE)]
    assert all(path.is_file() for path in paths)
    with running(config=ONE_THREAD, flags=flags, home=tmp_path) as serving:
        assert f"pulled     {SMALL}, {LARGE} (loaded with the first request)" in serving.stdout()
        listed = ask(serving, "GET", "/v1/models").json["data"]
        assert [shown["id"] for shown in listed] == [NANO, SMALL, LARGE]
        until(lambda: engines(serving) == {NANO}, "nano starts at once")
        for name in (SMALL, LARGE):
            content, headers = capital(serving, f"{name}:local")
            assert content
            assert headers["x-trunkline-provider"] == "local"
            assert headers["x-trunkline-model"] == name
            assert capital(serving, name)[0] == content
        assert engines(serving) == {NANO, SMALL, LARGE}
        assert serving.stop() == 0
        assert "Traceback" not in serving.stderr()


def test_who_pulled_weights_still_asks_the_configured_provider(
    hub, tmp_path, running_simulator: Simulator
):
    pulled(tmp_path, hub)
    provider = simulated_provider(running_simulator.base_url, SMALL, ECHO)
    with running(config=ONE_THREAD + provider, home=tmp_path) as serving:
        assert capital(serving, SMALL)[1]["x-trunkline-provider"] == "sim"
        assert capital(serving, f"{SMALL}:local")[1]["x-trunkline-provider"] == "local"


def test_the_demo_answers_with_nano_whatever_was_pulled(hub, tmp_path):
    pulled(tmp_path, hub)
    with running(config=ONE_THREAD, flags=["--demo"], home=tmp_path) as serving:
        assert capital(serving, f"{SMALL}:local")[1]["x-trunkline-model"] == NANO
        assert "pulled" not in serving.stdout()


def test_a_model_that_does_not_fit_is_refused_and_the_server_goes_on(hub, tmp_path):
    hub.repositories[hubs.SMALL.repository] = {FILE: oversized(CONTENT)}
    pulled(tmp_path, hub)
    with running(config=ONE_THREAD, home=tmp_path) as serving:
        answer = chat(serving, {**question(), "model": f"{SMALL}:local"})
        assert (answer.status, answer.error["code"]) == (503, "engine_unavailable")
        assert f"'{SMALL}' does not fit into memory: it takes about" in answer.error["message"]
        assert capital(serving, NANO)[0] == "The capital of France is Paris."
        assert ask(serving, "GET", "/health", key=None).json["engine"] == "ready"
    refused = run("serve", "--model", str(tmp_path / "models" / SMALL / FILE), home=tmp_path)
    assert refused.returncode == 1
    assert "does not fit into memory" in refused.stderr
    checks = json.loads(run("doctor", "--json", home=tmp_path).stdout)
    (check,) = [check for check in checks if check["name"] == f"model {SMALL}"]
    assert (check["state"], "does not fit" in check["detail"]) == ("warn", True)


def test_the_memory_check_can_be_switched_off(hub, tmp_path):
    hub.repositories[hubs.SMALL.repository] = {FILE: oversized(CONTENT)}
    pulled(tmp_path, hub)
    with running(config=f"{ONE_THREAD}check_memory = false\n", home=tmp_path) as serving:
        answer = chat(serving, {**question(), "model": f"{SMALL}:local"})
        # llama.cpp is asked now, and refuses a header that lies.
        assert answer.error["message"].startswith("the embedded engine could not start")


def test_a_broken_file_is_left_out_and_does_not_stop_the_start(hub, tmp_path):
    path = pulled(tmp_path, hub)
    path.write_bytes(b"nonsense".ljust(len(CONTENT)))
    with running(config=ONE_THREAD, home=tmp_path) as serving:
        assert chat(serving, {**question(), "model": SMALL}).error["code"] == "model_not_found"
        (event,) = [e for e in serving.log() if e["event"] == "pulled_model_unusable"]
        assert "not a GGUF file" in event["error"]


def test_the_models_are_listed_shown_and_removed(hub, tmp_path):
    def states() -> dict[str, str]:
        listed = json.loads(trunkline(tmp_path, hub, "models", "ls", "--json").stdout)
        return {entry["name"]: entry["state"] for entry in listed}

    assert states() == {NANO: "built-in", SMALL: "absent", LARGE: "absent"}
    path = pulled(tmp_path, hub)
    assert states() == {NANO: "built-in", SMALL: "pulled", LARGE: "absent"}
    shown = json.loads(trunkline(tmp_path, hub, "models", "show", SMALL, "--json").stdout)
    assert shown["files"] == [str(path)]
    assert shown["size_bytes"] == shown["have_bytes"] == len(CONTENT)
    assert shown["memory_bytes"] > len(CONTENT)
    table = trunkline(tmp_path, hub, "models", "show", LARGE).stdout
    assert "131,072 tokens; configured are 8 slots of 4,096" in table
    assert "each token reads about 3.6 GB of weights" in table

    asked = trunkline(tmp_path, hub, "models", "rm", SMALL)
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    removed = trunkline(tmp_path, hub, "models", "rm", SMALL, "--yes")
    assert (removed.returncode, removed.stdout) == (0, "")
    assert states()[SMALL] == "absent"
    for name, said in ((SMALL, "is not here"), (NANO, "is built in"), ("x", "no model 'x'")):
        done = trunkline(tmp_path, hub, "models", "rm", name, "--yes")
        assert (done.returncode, said in done.stderr) == (1, True)


def test_a_pull_without_a_terminal_prints_plain_lines_and_the_path(hub, tmp_path):
    hub.cuts = [len(CONTENT) // 2]
    done = trunkline(tmp_path, hub, "models", "pull", SMALL)
    path = tmp_path / "models" / SMALL / FILE
    assert done.stdout == f"{path}\n"
    lines = done.stderr.splitlines()
    assert lines[0] == f"pulling ggml-org/gpt-oss-20b-GGUF of {hub.url} into {path.parent}"
    assert lines[1].startswith(f"fetching {FILE}, ")
    assert lines[2] == "the hub: the connection broke; trying again in 1 s"
    assert lines[3] == f"checking {FILE}"
    assert "\x1b" not in done.stderr


def test_a_pull_that_cannot_be_says_why_and_exits_with_1(hub, tmp_path):
    hub.gated.add(hubs.SMALL.repository)
    done = trunkline(tmp_path, hub, "models", "pull", SMALL)
    assert (done.returncode, done.stdout) == (1, "")
    *_, last = done.stderr.splitlines()
    assert last.startswith("trunkline: ggml-org/gpt-oss-20b-GGUF is gated: ask for access at ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_pull_that_was_ended_is_continued_by_the_same_command(hub, tmp_path, number):
    hub.paused_after = len(CONTENT) // 2
    words = [sys.executable, "-m", "trunkline", "models", "pull", SMALL]
    environment = {"HOME": str(tmp_path), "TRUNKLINE_HOME": str(tmp_path), "HF_ENDPOINT": hub.url}
    partial = tmp_path / "models" / SMALL / f"{FILE}.partial"
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE) as process:
        until(lambda: partial.exists() and partial.stat().st_size >= 1 << 18, "some has arrived")
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert said.decode().splitlines()[-1].startswith("interrupted; the same command continues")
    have = partial.stat().st_size
    entries = json.loads(trunkline(tmp_path, hub, "models", "ls", "--json").stdout)
    (entry,) = [entry for entry in entries if entry["name"] == SMALL]
    assert (entry["state"], entry["have_bytes"]) == ("incomplete", have)
    listed = trunkline(tmp_path, hub, "models", "ls").stdout
    assert f"incomplete: {have / 1e6:.1f} MB are here" in listed

    hub.paused_after = None
    hub.go_on.set()
    hub.asked.clear()
    assert pulled(tmp_path, hub).read_bytes() == CONTENT
    (asked,) = hub.content()
    assert asked.range == (have, len(CONTENT) - 1)


def test_a_pull_on_a_terminal_shows_a_bar_that_ctrl_c_ends(hub, tmp_path):
    hub.paused_after = len(CONTENT) // 2
    command = (sys.executable, "-m", "trunkline", "models", "pull", SMALL)
    environment = {"HOME": str(tmp_path), "TRUNKLINE_HOME": str(tmp_path), "HF_ENDPOINT": hub.url}
    with on_terminal(*command, environment=environment, folder=tmp_path) as terminal:
        terminal.wait_for(f"fetching {FILE} ")
        terminal.wait_for("50%")
        terminal.type(CTRL_C)
        assert terminal.wait() == 130
        assert "interrupted; the same command continues what is there" in terminal.text
    hub.paused_after = None
    with on_terminal(*command, environment=environment, folder=tmp_path) as terminal:
        assert terminal.wait() == 0
        assert "are here already" in terminal.text
        assert f"checking {FILE} " in terminal.text
        assert "100%" in terminal.text
