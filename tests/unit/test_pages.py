"""The pages hold together: links lead somewhere, and what they tell to type or write is valid."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.tools.pages import DOCS, PAGES, ROOT, Block, anchors, blocks, links, rows
from trunkline import __version__
from trunkline.cli import app
from trunkline.config import load

BLOCKS = [block for page in PAGES for block in blocks(page)]
# Spelled apart, because this file is searched as well.
REGISTRIES = tuple(
    f"{name}.{top}"
    for name, top in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("proxy.golang", "org"),
        ("anaconda", "org"),
    )
)


def written_in(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links {target}"
        if anchor:
            assert anchor in anchors(found), f"{page.name} links {target}"


def test_every_page_of_the_documentation_is_in_its_index() -> None:
    index = DOCS / "README.md"
    listed = {(DOCS / target).resolve() for target in links(index)}
    assert set(DOCS.rglob("*.md")) - {index} <= listed


def test_no_tracked_file_names_a_package_registry() -> None:
    found = subprocess.run(
        ["git", "grep", "-I", "-l", "-F", *(f"-e{host}" for host in REGISTRIES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (found.stdout, found.stderr, found.returncode) == ("", "", 1)


# A file that a page shows is another program's.
@pytest.mark.parametrize("block", [b for b in written_in("toml") if not b.shows], ids=str)
def test_a_configuration_in_a_page_is_valid(block: Block, tmp_path: Path) -> None:
    for secret in re.findall(r"/run/secrets/([\w-]+)", block.text):
        (tmp_path / secret).write_text("postgresql://user:password@host/name")
    file = tmp_path / "trunkline.toml"
    file.touch(mode=0o600)
    file.write_text(block.text.replace("/run/secrets", str(tmp_path)))
    assert not load(file, environ={}).warnings


@pytest.mark.parametrize("block", written_in("yaml"), ids=str)
def test_a_compose_file_in_a_page_is_valid(block: Block, tmp_path: Path) -> None:
    services = yaml.safe_load(block.text)["services"]
    assert services.keys() <= yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].keys()
    (tmp_path / "trunkline.toml").touch()
    load(tmp_path / "trunkline.toml", environ=services["router"]["environment"])


@pytest.mark.parametrize("block", [b for b in BLOCKS if ">>>" in b.text], ids=str)
def test_a_session_in_a_page_is_as_it_would_be(block: Block) -> None:
    session = doctest.DocTestParser().get_doctest(block.text, {}, str(block), None, None)
    assert session.examples
    assert doctest.DocTestRunner().run(session).failed == 0


def test_every_command_in_the_pages_exists_with_its_options() -> None:
    seen = 0
    for block in written_in("sh"):
        for words in _calls(block.text):
            seen += 1
            _check_call(words)
    assert seen > 10


def _calls(script: str) -> Iterator[list[str]]:
    """Yields the words after each ``trunkline`` that is called."""
    for line in script.replace("\\\n", " ").splitlines():
        if line.startswith("docker ") and " exec " not in line:
            continue
        for called in re.finditer(r"(?:^|[\s(/])trunkline (?P<rest>[^)|;]*)", line):
            yield shlex.split(called["rest"], comments=True)


def _check_call(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while inner := getattr(command, "commands", {}):
        assert rest, f"trunkline {words}"
        assert rest[0] in inner, f"trunkline {' '.join(words)}"
        command = inner[rest.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options


def test_every_dependency_is_defended_and_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[^\w-]", line)[0] for line in project["dependencies"]}
    page = DOCS / "explanation" / "dependencies.md"
    assert {row[0].strip("`") for row in rows(page, heading="dependency")} == names
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    assert [name for name in names if name.replace("-", "_") not in source] == []


def test_the_readme_and_the_changelog_tell_of_this_version() -> None:
    for page in ("README.md", "CHANGELOG.md"):
        assert __version__ in (ROOT / page).read_text(encoding="utf-8")
