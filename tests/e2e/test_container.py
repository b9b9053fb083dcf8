"""The image and the compose file: their syntax, and that what they name exists.

No container engine is needed; what an image would run is run here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.tools.pages import ROOT
from trunkline.__main__ import run
from trunkline.api.edge import OPEN_PATHS
from trunkline.config import Settings, load

INSTRUCTIONS = {
    "FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK",
    "ENTRYPOINT", "CMD",
}  # fmt: skip
SECRETS = re.compile("KEY|SECRET|PASSWORD|TOKEN", re.IGNORECASE)


def instructions() -> list[tuple[str, str]]:
    """Returns the instructions of the Containerfile with their arguments, lines joined."""
    lines = [
        line
        for line in (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    found = [line.split(maxsplit=1) for line in "\n".join(lines).replace("\\\n", " ").splitlines()]
    return [(name, rest) for name, rest in found]


def last(name: str) -> str:
    return [rest for instruction, rest in instructions() if instruction == name][-1]


def environment() -> dict[str, str]:
    """Returns the variables that the image sets."""
    pairs = [word for name, rest in instructions() if name == "ENV" for word in shlex.split(rest)]
    return dict(pair.split("=", 1) for pair in pairs)


def compose() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return document


def settings(variables: Mapping[str, str], folder: Path) -> Settings:
    file = folder / "trunkline.toml"
    file.touch()
    return load(file, environ=variables)


def test_the_containerfile_holds_known_instructions() -> None:
    names = [name for name, _ in instructions()]
    assert set(names) <= INSTRUCTIONS
    assert names[0] == "FROM"
    assert names[-2:] == ["ENTRYPOINT", "CMD"]


@pytest.mark.parametrize(
    "script", [rest for name, rest in instructions() if name == "RUN"], ids=lambda s: s.split()[0]
)
def test_what_it_runs_is_valid_shell(script: str) -> None:
    subprocess.run(["sh", "-n", "-c", script], check=True)


def test_what_it_copies_exists_and_reaches_the_build() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {rule.removeprefix("!").rstrip("/") for rule in rules if rule.startswith("!")}
    assert rules[1] == "*"
    copied = [rest.split() for name, rest in instructions() if name == "COPY"]
    sources = [path for words in copied if not words[0].startswith("--") for path in words[:-1]]
    assert sources
    for path in sources:
        assert (ROOT / path).exists(), path
        assert any(fnmatch(path, f"{rule}*") for rule in let_in), f"{path} is ignored"


def test_it_installs_copied_locks_by_their_hashes() -> None:
    (install,) = [rest for name, rest in instructions() if "--require-hashes" in rest]
    locks = re.findall(r"-r (\S+)", install)
    assert locks == ["requirements/base.txt", "requirements/build.txt"]
    (copied,) = [rest for name, rest in instructions() if name == "COPY" and locks[0] in rest]
    assert set(locks) <= set(copied.split())


def test_it_runs_as_a_user_who_is_not_root_and_holds_no_secret() -> None:
    assert int(last("USER")) > 0
    assert not any(SECRETS.search(name) for name in environment())


def test_its_variables_are_keys_of_the_configuration(tmp_path: Path) -> None:
    server = settings(environment(), tmp_path).server
    assert (server.host, server.port) == ("0.0.0.0", int(last("EXPOSE")))
    assert environment()["TRUNKLINE_HOME"] == last("VOLUME") == "/data"


def test_its_command_is_one_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    program, *command = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    assert program == "trunkline"
    assert run([*command, "--help"]) == 0
    assert f"trunkline {command[0]}" in capsys.readouterr().out


def test_its_health_check_tells_a_server_from_none(server: Any, unused_port: int) -> None:
    check = last("HEALTHCHECK").split("CMD ", 1)[1]
    program = shlex.split(check)[2]
    assert any(f"{path}'" in program for path in OPEN_PATHS)
    folder = Path(sys.executable).parent
    for port, healthy in ((server.port, True), (unused_port, False)):
        done = subprocess.run(
            ["sh", "-c", check],
            env={"PATH": f"{folder}{os.pathsep}/bin", "TRUNKLINE_SERVER_PORT": str(port)},
            capture_output=True,
            timeout=30,
        )
        assert (done.returncode == 0) is healthy


def test_compose_runs_the_router_on_a_postgres_that_is_ready() -> None:
    services = compose()["services"]
    assert services.keys() == {"router", "postgres"}
    router, postgres = services["router"], services["postgres"]
    assert (ROOT / router["build"]["context"] / router["build"]["dockerfile"]).is_file()
    assert router["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert postgres["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]


def test_compose_keeps_what_both_store_in_volumes_that_it_declares() -> None:
    document = compose()
    mounts = [
        mount.split(":")
        for service in document["services"].values()
        for mount in service["volumes"]
    ]
    assert {name for name, _ in mounts} == document["volumes"].keys()
    assert last("VOLUME") in {path for _, path in mounts}


def test_compose_publishes_on_loopback_and_waits_longer_than_the_server_drains(
    tmp_path: Path,
) -> None:
    router = compose()["services"]["router"]
    assert router["ports"] == [f"127.0.0.1:7070:{last('EXPOSE')}"]
    patience_s = int(router["stop_grace_period"].removesuffix("s"))
    assert patience_s > settings(environment(), tmp_path).server.drain_s


def test_compose_asks_for_every_secret_and_holds_none(tmp_path: Path) -> None:
    services = compose()["services"]
    variables = services["router"]["environment"]
    secrets = {"TRUNKLINE_BOOTSTRAP_KEY", "TRUNKLINE_DATABASE_URL"}
    assert variables.keys() == secrets
    for value in (*variables.values(), services["postgres"]["environment"]["POSTGRES_PASSWORD"]):
        assert re.search(r"\$\{\w+:\?[^}]+\}", value), "must stop if the variable is not set"
    filled = {
        name: re.sub(r"\$\{\w+:\?[^}]+\}", "0123456789abcdef", value)
        for name, value in variables.items()
    }
    url = settings(environment() | filled, tmp_path).database.url
    assert url is not None
    assert url.reveal() == "postgresql://trunkline:0123456789abcdef@postgres/trunkline"
    user = services["postgres"]["environment"]
    assert (user["POSTGRES_USER"], user["POSTGRES_DB"]) == ("trunkline", "trunkline")
