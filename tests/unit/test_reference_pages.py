"""The reference pages say what the code does."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.tools import reference_pages
from tests.tools.pages import DOCS, ROOT, rows
from trunkline import __main__ as program
from trunkline import errors
from trunkline.api import receive
from trunkline.api.edge import OPEN_PATHS
from trunkline.api.metrics import Metrics
from trunkline.api.openapi import description
from trunkline.api.routes import Endpoints, routes

REFERENCE = DOCS / "reference"
SOURCES = sorted((ROOT / "src" / "trunkline").rglob("*.py"))


def code(cell: str) -> str:
    """Takes the first code span out of a table's cell."""
    return cell.split("`")[1]


@pytest.mark.parametrize("page", reference_pages.WRITTEN, ids=lambda page: page.name)
def test_what_comes_from_the_code_is_up_to_date(page: Path) -> None:
    written = reference_pages.with_written(page)
    assert page.read_text(encoding="utf-8") == written, "run python -m tests.tools.reference_pages"


def test_the_exit_codes_are_those_of_the_program() -> None:
    listed = {int(row[0]) for row in rows(REFERENCE / "command-line.md", heading="exit code")}
    assert listed == {program.OK, program.FAILURE, program.USAGE, program.INTERRUPTED}


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that is never called."""


def test_every_route_is_described_and_listed_with_whether_it_needs_a_key() -> None:
    served: Any = dict.fromkeys(Endpoints.__annotations__, _nothing)
    table = {
        (row[0], code(row[1]), row[2]) for row in rows(REFERENCE / "http-api.md", heading="method")
    }
    described = {
        (method.upper(), path) for path, item in description()["paths"].items() for method in item
    }
    assert {(method, path) for method, path, _ in table} == described
    assert table == {
        (method, route.path.replace(":path}", "}"), "no" if route.path in OPEN_PATHS else "yes")
        for route in routes(Endpoints(**served)).routes
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_every_response_header_of_ours_is_listed() -> None:
    listed = {code(row[0]) for row in rows(REFERENCE / "http-api.md", heading="response header")}
    sent = {
        node.value.decode()
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, bytes)
        and (node.value.startswith(b"x-trunkline-") or node.value == b"x-request-id")
    }
    asked = {
        code(row[0]).lower() for row in rows(REFERENCE / "http-api.md", heading="request header")
    }
    assert listed - {"retry-after"} == sent - asked


def test_every_metric_is_listed_with_its_labels() -> None:
    metrics = Metrics()
    listed = {
        code(row[0]).removesuffix("_total"): {label.strip() for label in row[1].split(",")} - {""}
        for row in rows(REFERENCE / "http-api.md", heading="metric")
    }
    families = text_string_to_metric_families(metrics.render().decode())
    assert set(listed) == {family.name for family in families}
    for name, labels in _labels(metrics):
        assert listed[name] == labels, name


def _labels(metrics: Metrics) -> Iterator[tuple[str, set[str]]]:
    for collector in vars(metrics).values():
        if hasattr(collector, "_labelnames"):
            yield collector._name, set(collector._labelnames)


def test_every_error_code_is_listed_with_its_status() -> None:
    listed = {(code(row[0]), int(row[1])) for row in rows(REFERENCE / "errors.md", heading="code")}
    assert listed == set(_raised())


def _raised() -> Iterator[tuple[str, int]]:
    """Yields each code that the source raises, with the status of the error that carries it."""
    statuses = {
        name: (error.code, error.status)
        for name, error in {**vars(errors), **vars(receive)}.items()
        if isinstance(error, type) and issubclass(error, errors.APIError)
    }
    yield from statuses.values()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for value in _codes(node):
                yield value, statuses[_raiser(node)][1]


def _codes(node: ast.AST) -> Iterator[str]:
    """Yields the codes in ``code="…"`` of a call, and in ``code = "…" if … else "…"``."""
    match node:
        case ast.Call():
            values = [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        case ast.Assign(targets=[ast.Name("code")], value=ast.IfExp() as either):
            values = [either.body, either.orelse]
        case _:
            return
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value


def _raiser(node: ast.AST) -> str:
    return ast.unparse(node.func) if isinstance(node, ast.Call) else "InvalidRequest"


def test_the_parameters_of_the_api_description_are_those_of_the_page() -> None:
    listed = {code(row[0]) for row in rows(REFERENCE / "chat-completions.md", heading="parameter")}
    assert listed == set(description()["components"]["schemas"]["ChatParameters"]["properties"])
