"""What breaks from outside: the engine's process, model files, ports, disks, databases."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.e2e.client import (
    ask,
    chat,
    events_of,
    long_question,
    question,
    receipt,
    run,
    streaming,
    until,
)
from tests.serving import ECHO, Serving, launched, running, simulated_provider
from tests.simulator import Simulator
from trunkline.engine.model import NANO as NANO_FILE

ENGINE_OFF = "[engine]\nenabled = false\n"


def refusal(serving: Serving, *, code: int = 1) -> str:
    """Waits for a start that must fail and returns the one line that says why."""
    assert serving.process.wait(60) == code, serving.stderr()
    log = serving.stderr()
    assert "Traceback" not in log
    assert serving.stdout() == ""
    said = [line for line in log.splitlines() if not line.startswith("{")]
    assert len(said) == 1, log
    assert said[0].startswith("trunkline: ")
    return said[0]


# -------------------------------------------------------------------------------------- the engine


@pytest.fixture
def serving() -> Iterator[Serving]:
    with running() as serving:
        yield serving
        assert "Traceback" not in serving.stderr()


def kill_engine(serving: Serving) -> None:
    """Kills the engine that was started last."""
    os.kill(events_of(serving, "engine_ready")[-1]["pid"], signal.SIGKILL)


def test_a_killed_engine_ends_its_stream_with_one_error_event(serving: Serving) -> None:
    with streaming(serving, long_question()) as stream:
        assert stream.next_event()
        kill_engine(serving)
        *_, last = stream.events()
        request_id = stream.headers["x-request-id"]
    answer = chat(serving, question(max_tokens=4))

    name, _, data = last.partition("\n")
    assert name == "event: error"
    error = json.loads(data.removeprefix("data: "))["error"]
    assert (error["code"], error["type"]) == ("upstream_failed", "upstream_error")
    assert answer.status == 200
    assert receipt(serving, request_id)["error_code"] == "upstream_failed"
    assert ask(serving, "GET", "/health", key=None).json["engine"] == "ready"


def test_a_killed_engine_costs_a_whole_answer_a_502(serving: Serving) -> None:
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(chat, serving, long_question())
        busy = "trunkline_engine_slots_busy 1.0"
        until(lambda: busy in ask(serving, "GET", "/metrics").body.decode(), "it is being answered")
        # Only while it samples: before its first token the next engine would be asked again.
        until(lambda: _cpu_ticks(serving) > 30, "the engine samples")
        kill_engine(serving)
        answer = asked.result()

    assert (answer.status, answer.error["code"]) == (502, "upstream_failed")
    assert "local" in answer.error["message"]
    assert chat(serving, question(max_tokens=4)).status == 200


def _cpu_ticks(serving: Serving) -> int:
    pid = events_of(serving, "engine_ready")[-1]["pid"]
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def test_requests_wait_while_the_engine_starts_again(serving: Serving) -> None:
    kill_engine(serving)
    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: chat(serving, question(max_tokens=4)), range(4)))

    assert {answer.status for answer in answers} == {200}
    figures = ask(serving, "GET", "/metrics").body.decode()
    assert 'trunkline_engine_restarts_total{reason="died"} 1.0' in figures


# ----------------------------------------------------------------------------------------- models


def truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def of_another_architecture(whole: bytes) -> bytes:
    """Renames the architecture in place: one of the same length."""
    return whole.replace(b"gpt-oss", b"gpt-neo")


def with_a_broken_header(whole: bytes) -> bytes:
    return whole[:24] + b"\xff" * 64 + whole[88:]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (truncated, "truncated"),
        (of_another_architecture, "'gpt-neo'"),
        (with_a_broken_header, "cannot be used"),
        (lambda _: b"", "cannot be used"),
        (lambda _: b"no model at all " * 1000, "not a GGUF"),
    ],
    ids=["truncated", "architecture", "header", "empty", "text"],
)
def test_a_model_file_that_cannot_be_used_stops_the_start(
    tmp_path: Path, broken: Callable[[bytes], bytes], reason: str
) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(broken(NANO_FILE.read_bytes()))
    with launched(flags=["--model", str(file)]) as serving:
        message = refusal(serving)

    assert str(file) in message
    assert reason in message


@pytest.mark.parametrize("name", ["nowhere.gguf", "", "part-00001-of-00002.gguf"])
def test_a_model_file_that_is_not_there_stops_the_start(tmp_path: Path, name: str) -> None:
    with launched(flags=["--model", str(tmp_path / name)]) as serving:
        assert str(tmp_path) in refusal(serving)


def test_a_model_of_ones_own_is_served_under_the_files_name(tmp_path: Path) -> None:
    shutil.copy(NANO_FILE, tmp_path / "mine.gguf")
    with running(flags=["--model", str(tmp_path / "mine.gguf")]) as serving:
        assert "local/mine" in serving.stdout()
        answer = chat(serving, question(model="local/mine", max_tokens=4))

    assert (answer.status, answer.json["model"]) == (200, "local/mine")


# ------------------------------------------------------------------------------------------ the port


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken_stops_the_start(workers: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with launched(flags=["--port", str(port), "--workers", workers]) as serving:
            message = refusal(serving)

    assert f"port {port}" in message
    assert "--port" in message


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_stops_the_start(host: str) -> None:
    with launched(flags=["--host", host]) as serving:
        assert host in refusal(serving)


# ---------------------------------------------------------------------------------------- the home


def test_a_home_that_is_a_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        done = run("serve", "--port", "0", home=home, folder=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert str(home) in done.stderr
        assert "TRUNKLINE_HOME" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_database_url_that_is_none_stops_the_start_with_2() -> None:
    with launched(config=ENGINE_OFF, flags=["--db", "mysql://me:hush@localhost/x"]) as serving:
        message = refusal(serving, code=2)

    assert "sqlite:///" in message
    assert "hush" not in message


def test_a_postgres_that_is_not_there_stops_the_start(unused_port: int) -> None:
    url = f"postgresql://me:hush@127.0.0.1:{unused_port}/x"
    with launched(config=ENGINE_OFF, flags=["--db", url]) as serving:
        message = refusal(serving)
        assert "hush" not in serving.stderr()

    assert f"127.0.0.1:{unused_port}" in message


def test_a_key_file_that_is_damaged_stops_the_start(tmp_path: Path) -> None:
    with running(config=ENGINE_OFF, home=tmp_path) as serving:
        assert serving.stop() == 0
    for content in (b"", b"short", b"\xff" * 40):
        (tmp_path / "key").write_bytes(content)
        with launched(config=ENGINE_OFF, home=tmp_path) as serving:
            assert str(tmp_path / "key") in refusal(serving)


# ------------------------------------------------------------------------------------ the database


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that has been used."""
    assert run("keys", "create", home=tmp_path).returncode == 0
    return tmp_path


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_locked_database_stops_the_start(home: Path, workers: str) -> None:
    config = f"{ENGINE_OFF}[database]\nbusy_timeout_s = 0.1\n"
    with closing(sqlite3.connect(home / "trunkline.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with launched(config=config, home=home, flags=["--workers", workers]) as serving:
            message = refusal(serving)
        told = run("keys", "ls", home=home, environment={"TRUNKLINE_DATABASE_BUSY_TIMEOUT_S": "0"})

    assert "locked by another process" in message
    assert told.returncode == 1
    assert "locked by another process" in told.stderr


def test_a_database_that_is_none_stops_the_start(home: Path) -> None:
    (home / "trunkline.db").write_bytes(b"Dear diary, " * 1000)
    with launched(config=ENGINE_OFF, home=home) as serving:
        assert "is not a database" in refusal(serving)


def test_a_database_that_is_locked_later_costs_no_request_and_no_receipt(
    running_simulator: Simulator,
) -> None:
    config = f"{ENGINE_OFF}[database]\nbusy_timeout_s = 0.1\n" + simulated_provider(
        running_simulator.base_url, ECHO
    )
    with running(config=config) as serving:
        database = serving.home / "trunkline.db"
        with closing(sqlite3.connect(database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            answers = [chat(serving, question(model=ECHO)) for _ in range(5)]
            until(lambda: events_of(serving, "receipts_not_stored"), "the log says so")
        for answer in answers:
            assert receipt(serving, answer.headers["x-request-id"], timeout_s=10.0)
        assert {answer.status for answer in answers} == {200}
        assert "Traceback" not in serving.stderr()


# ----------------------------------------------------------------------------------------- the disk


def in_a_mount(options: str, home: Path, *arguments: str) -> list[str]:
    """Returns the command that runs trunkline with ``home`` on a small disk of its own."""
    script = f'mount -t tmpfs -o {options} none "$1" && shift && exec "$@"'
    shell = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, "sh", str(home)]
    return [*shell, sys.executable, "-m", "trunkline", *arguments]


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


needs_mounts = pytest.mark.skipif(not _can_mount(), reason="needs a mount namespace")


def environment_of(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TRUNKLINE_HOME": str(home),
        "TRUNKLINE_ENGINE_ENABLED": "false",
    }


@needs_mounts
@pytest.mark.parametrize(
    ("options", "reason"),
    [("size=16k", "full"), ("ro", "give this user the right")],
    ids=["full", "ro"],
)
@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("keys", "create")], ids=" ".join)
def test_a_disk_that_cannot_be_written_stops_the_start(
    tmp_path: Path, options: str, reason: str, command: tuple[str, ...]
) -> None:
    done = subprocess.run(
        in_a_mount(options, tmp_path, *command),
        env=environment_of(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert str(tmp_path) in done.stderr
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@needs_mounts
def test_a_disk_that_fills_up_later_costs_receipts_and_no_request(
    tmp_path: Path, running_simulator: Simulator
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    config = tmp_path / "test.toml"
    config.write_text(simulated_provider(running_simulator.base_url, ECHO))
    command = in_a_mount("size=1m", home, "serve", "--port", "0", "--config", str(config))
    with (tmp_path / "stdout").open("wb") as out, (tmp_path / "stderr").open("wb") as err:
        process = subprocess.Popen(command, env=environment_of(home), stdout=out, stderr=err)
    inside = Path(f"/proc/{process.pid}/root{home}")
    serving = Serving(process, inside, tmp_path)
    try:
        serving.wait_for_banner()
        ballast = inside / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"\0" * 4096):
                pass
        answers = [chat(serving, question(model=ECHO)) for _ in range(20)]
        until(lambda: events_of(serving, "receipts_not_stored"), "the log says so")
        ballast.unlink()
        assert receipt(serving, answers[-1].headers["x-request-id"], timeout_s=10.0)
        assert {answer.status for answer in answers} == {200}
        assert serving.stop() == 0
        assert "Traceback" not in serving.stderr()
    finally:
        process.kill()
        process.wait()
