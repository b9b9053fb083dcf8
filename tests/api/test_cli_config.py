"""The commands around the configuration, as processes: what they print, and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from trunkline import __version__

Run = Callable[..., "subprocess.CompletedProcess[str]"]

PROVIDERS = """
[providers.acme]
base_url = "https://api.acme.test/v1"
api_key_env = "ACME_KEY"
models."openai/gpt-oss-20b" = {}

[providers.mine]
base_url = "http://127.0.0.1:8000/v1"

[providers.spare]
base_url = "https://spare.test/v1"
enabled = false
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with an empty home and nothing else of ours."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TRUNKLINE_HOME": str(tmp_path / "data"),
    }


@pytest.fixture
def trunkline(tmp_path: Path, environ: dict[str, str]) -> Run:
    """Runs the program in an empty folder."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "trunkline", *arguments],
            cwd=tmp_path,
            env=environ | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def states(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in json.loads(done.stdout)}


def found(done: subprocess.CompletedProcess[str], name: str) -> dict[str, Any]:
    [check] = [check for check in json.loads(done.stdout) if check["name"] == name]
    return dict(check)


def test_the_version_is_printed(trunkline: Run) -> None:
    done = trunkline("--version")
    assert (done.returncode, done.stdout) == (0, f"trunkline {__version__}\n")


def test_help_names_the_commands(trunkline: Run) -> None:
    done = trunkline("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in ("init", "config", "doctor", "keys", "explain"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "trunkline: missing command; see 'trunkline --help'\n"),
        (["bogus"], "trunkline: no such command 'bogus'; see 'trunkline --help'\n"),
        (["init", "--bogus"], "trunkline: no such option: --bogus; see 'trunkline init --help'\n"),
        (["config"], "trunkline: missing command; see 'trunkline config --help'\n"),
    ],
)
def test_wrong_usage_is_said_in_a_line(trunkline: Run, arguments: list[str], message: str) -> None:
    done = trunkline(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)


def test_init_writes_a_private_file_that_check_accepts(trunkline: Run, tmp_path: Path) -> None:
    done = trunkline("init")
    assert (done.returncode, done.stdout, done.stderr) == (0, "trunkline.toml\n", "")
    assert (tmp_path / "trunkline.toml").stat().st_mode & 0o777 == 0o600
    done = trunkline("config", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"the configuration is valid: {tmp_path}/trunkline.toml\n"


def test_init_replaces_a_file_only_by_force(trunkline: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("server.port = 1")
    done = trunkline("init", "--path", "mine.toml")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "trunkline: mine.toml exists; --force replaces it\n"
    assert file.read_text() == "server.port = 1"
    assert trunkline("init", "--path", "mine.toml", "--force").returncode == 0
    assert "[server]" in file.read_text()


def test_init_says_why_it_cannot_write(trunkline: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = trunkline("init", "--path", "file/trunkline.toml")
    assert done.returncode == 1
    assert done.stderr.startswith("trunkline: cannot write file/trunkline.toml: ")


def test_check_shows_the_providers_and_where_settings_come_from(
    trunkline: Run, tmp_path: Path
) -> None:
    (tmp_path / "trunkline.toml").write_text(PROVIDERS)
    done = trunkline("config", "check", "--json", TRUNKLINE_SERVER_PORT="8000")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert shown["file"] == str(tmp_path / "trunkline.toml")
    assert shown["sources"] == {"server.port": "TRUNKLINE_SERVER_PORT"}
    assert {provider["name"]: provider["state"] for provider in shown["providers"]} == {
        "acme": "no key: set ACME_KEY",
        "mine": "active",
        "spare": "disabled",
    }
    done = trunkline("config", "check", TRUNKLINE_SERVER_PORT="8000", ACME_KEY="k3y")
    assert "set by the environment: TRUNKLINE_SERVER_PORT\n" in done.stdout
    assert ["acme", "active", "1", "https://api.acme.test/v1"] in [
        line.split() for line in done.stdout.splitlines()
    ]
    assert "k3y" not in done.stdout


def test_check_names_every_problem(trunkline: Run, tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("server.prot = 1\nengine.slots = 0")
    done = trunkline("config", "check", "--config", "bad.toml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "trunkline: 2 problems in the configuration:",
        f"  {file}: server.prot: unknown key; did you mean 'port'?",
        f"  {file}: engine.slots: expected an integer, 1 to 256, got 0",
    ]
    done = trunkline("config", "check", "--config", "bad.toml", "--json")
    assert (done.returncode, done.stderr) == (2, "")
    assert json.loads(done.stdout)["ok"] is False
    assert len(json.loads(done.stdout)["problems"]) == 2


def test_check_warns_of_a_literal_key_that_others_can_read(trunkline: Run, tmp_path: Path) -> None:
    file = tmp_path / "trunkline.toml"
    file.write_text('[providers.acme]\nbase_url = "https://a.test"\napi_key = "k3y"')
    file.chmod(0o644)
    done = trunkline("config", "check")
    assert done.returncode == 0
    assert "providers.acme.api_key is a secret and the file is readable by others" in done.stderr
    assert "k3y" not in done.stdout + done.stderr


def test_show_tells_each_value_and_its_source(trunkline: Run, tmp_path: Path) -> None:
    file = tmp_path / "trunkline.toml"
    file.write_text("engine.slots = 4")
    url = "postgresql://me:k3y@db.test/x"
    done = trunkline("config", "show", "--json", TRUNKLINE_DATABASE_URL=url)
    shown = {row["key"]: (row["value"], row["source"]) for row in json.loads(done.stdout)}
    assert shown["engine.slots"] == (4, str(file))
    assert shown["server.port"] == (7070, "default")
    assert shown["database.url"] == ("…", "TRUNKLINE_DATABASE_URL")
    done = trunkline("config", "show", TRUNKLINE_DATABASE_URL=url)
    assert ["engine.slots", "4", str(file)] in [line.split() for line in done.stdout.splitlines()]
    assert "k3y" not in done.stdout


def test_doctor_finds_a_fresh_installation_in_order(
    trunkline: Run, tmp_path: Path, free_port: int
) -> None:
    done = trunkline("doctor", "--json", TRUNKLINE_SERVER_PORT=str(free_port))
    assert (done.returncode, done.stderr) == (0, "")
    assert set(states(done).values()) == {"ok"}
    assert list(states(done))[:2] == ["python", "configuration"]
    assert not (tmp_path / "data").exists()


def test_doctor_prints_a_table_for_people(trunkline: Run, free_port: int) -> None:
    done = trunkline("doctor", TRUNKLINE_SERVER_PORT=str(free_port))
    assert done.returncode == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["ok", "port", f"127.0.0.1:{free_port}", "is", "free"] in rows


def test_doctor_finds_what_is_wrong_and_says_what_to_do(trunkline: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "trunkline.db").write_bytes(
        b"not a database, though long enough to be read as one" * 99
    )
    (data / "key").write_text("tl_0000000000000000")
    (data / "key").chmod(0o644)
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    (tmp_path / "trunkline.toml").write_text(f'engine.model = "model.gguf"\n{PROVIDERS}')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        taken.settimeout(60)
        port = str(taken.getsockname()[1])
        answering = Thread(target=_hang_up, args=(taken,))
        answering.start()
        done = trunkline("doctor", "--json", TRUNKLINE_SERVER_PORT=port)
        answering.join()
    assert done.returncode == 1
    wrong = {name: state for name, state in states(done).items() if state != "ok"}
    assert wrong == {
        "model": "fail",
        "database": "fail",
        "port": "fail",
        "provider acme": "warn",
        "first key": "warn",
    }
    assert found(done, "provider acme")["fix"] == "set ACME_KEY to its key"
    assert found(done, "first key")["fix"] == f"chmod 600 {data / 'key'}"
    assert "is not a database" in found(done, "database")["detail"]


def test_doctor_opens_a_database_that_exists(
    trunkline: Run, tmp_path: Path, free_port: int
) -> None:
    (tmp_path / "data").mkdir()
    sqlite3.connect(tmp_path / "data" / "trunkline.db").close()
    done = trunkline("doctor", "--json", TRUNKLINE_SERVER_PORT=str(free_port))
    assert found(done, "database") == {
        "name": "database",
        "state": "ok",
        "detail": str(tmp_path / "data" / "trunkline.db"),
        "fix": "",
    }


def test_doctor_knows_a_running_router_on_its_port(trunkline: Run, router: int) -> None:
    done = trunkline("doctor", "--json", TRUNKLINE_SERVER_PORT=str(router))
    assert found(done, "port")["state"] == "ok"
    assert found(done, "port")["detail"] == f"127.0.0.1:{router} is served by trunkline 9.9"


def test_doctor_reports_a_wrong_configuration_and_goes_on(trunkline: Run) -> None:
    done = trunkline("doctor", "--json", TRUNKLINE_SERVER_PORT="x")
    assert done.returncode == 1
    assert states(done)["configuration"] == "fail"
    assert states(done)["disk"] == "ok"


def test_an_interrupted_command_exits_with_130(environ: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        port = str(silent.getsockname()[1])
        doctor = subprocess.Popen(
            [sys.executable, "-m", "trunkline", "doctor"],
            cwd=tmp_path,
            env=environ | {"TRUNKLINE_SERVER_PORT": port, "TRUNKLINE_ENGINE_ENABLED": "false"},
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = silent.accept()  # it asks who has the port, and waits
        with connection:
            doctor.send_signal(signal.SIGINT)
            _, said = doctor.communicate(timeout=60)
    assert (doctor.returncode, said) == (130, "")


@pytest.fixture
def router() -> Iterator[int]:
    """Answers GET /health on a port as a router does."""

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"status":"ok","version":"9.9","engine":"off"}'
            self.send_response(200 if self.path == "/health" else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join()


def _hang_up(listener: socket.socket) -> None:
    """Takes one connection and answers nothing, as a program that is no router might."""
    connection, _ = listener.accept()
    connection.close()
