"""What the pages tell a newcomer to do, done: their examples run against a real server."""

import os
import re
import subprocess
import sys

import pytest

from tests.tools.pages import DOCS, PAGES, ROOT, Block, blocks, matches
from trunkline import __version__

EXAMPLES = sorted((DOCS / "examples").iterdir())
BLOCKS = [block for page in PAGES for block in blocks(page)]
PATIENCE_S = 60.0


def run_example(name, serving):
    """Returns what an example of docs/ prints, run as the tutorial says."""
    path = DOCS / name
    program = sys.executable if path.suffix == ".py" else "bash"
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": serving.base_url,
        "OPENAI_API_KEY": serving.key,
    }
    done = subprocess.run(
        [program, path], env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "file"], ids=str)
def test_a_page_shows_a_file_as_it_is(block: Block) -> None:
    assert block.shows
    assert block.text == (DOCS / block.shows).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_prints_what_the_pages_say(path, server) -> None:
    name = path.relative_to(DOCS).as_posix()
    shown = [block for block in BLOCKS if block.kind == "output" and block.shows == name]
    assert shown, f"no page shows what {name} prints"
    printed = run_example(name, server)
    for block in shown:
        assert matches(block.text, printed), (
            f"{block.page.name} shows\n{block.text}\nnot\n{printed}"
        )


def test_every_example_stands_in_a_page() -> None:
    shown = {block.shows for block in BLOCKS if block.kind == "file"}
    assert {path.relative_to(DOCS).as_posix() for path in EXAMPLES} <= shown


def test_the_first_screen_of_the_readme_works_as_pasted(server) -> None:
    exports = next(b.text for b in blocks(ROOT / "README.md") if b.text.startswith("export"))
    pasted = exports.replace(".venv/bin/trunkline", f"{sys.executable} -m trunkline")
    done = subprocess.run(
        ["bash", "-c", f'{pasted}echo "$OPENAI_BASE_URL $OPENAI_API_KEY"'],
        env={**os.environ, "TRUNKLINE_HOME": str(server.home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.stdout.split() == ["http://127.0.0.1:7070/v1", server.key]


def test_the_commands_on_the_first_screen_are_targets_of_make() -> None:
    commands = re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands[:2] == ["serve", "test"]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(commands) <= targets


def test_the_banner_in_the_tutorial_is_the_one_that_is_printed(server) -> None:
    shown = next(b.text for b in blocks(DOCS / "tutorial" / "first-steps.md") if "serves" in b.text)
    facts = [line for line in shown.splitlines() if line.startswith("  engine")]
    assert [line for line in server.stdout().splitlines() if line.startswith("  engine")] == facts
    assert shown.startswith(f"Trunkline {__version__} serves http://127.0.0.1:7070/v1\n")
    assert server.stdout().startswith(f"Trunkline {__version__} serves {server.base_url}\n")
