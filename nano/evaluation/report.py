"""What a run has found, for people: the table, the failures, the part of the model card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from nano.evaluation.catalogue import STEP_TARGET
from nano.evaluation.check import JSON, Said
from nano.evaluation.measurement import Measured, Reasoning, Score
from nano.evaluation.runner import Outcome

CARD = Path(__file__).parents[1] / "CARD.md"
START, END = "<!-- measured -->\n", "<!-- end of measured -->\n"
_HEAD = ("what", "passed", "of", "percent", "target", "")


def report(measured: Measured) -> str:
    """Returns all figures, in Markdown that is a table in a terminal too."""
    parts = [_facts(measured)]
    if measured.scores:
        parts.append(_table(_HEAD, [_row(score) for score in measured.scores]))
    if measured.guide:
        head = ("the guide's prompts, at the default temperature", *_HEAD[1:])
        parts.append(_table(head, [_row(score) for score in measured.guide]))
    if measured.reasoning:
        parts.append(_efforts(measured.reasoning))
    if measured.prompt_tokens is not None:
        parts.append("The long prompts had {:,} to {:,} tokens.\n".format(*measured.prompt_tokens))
    return "\n".join(parts)


def failure(outcome: Outcome) -> str:
    """Returns what was asked, expected and got."""
    check = outcome.check
    tools = ", ".join(tool["function"]["name"] for tool in check.tools)
    lines = [f"✗ {outcome.category}: {outcome.fault}"]
    lines += [f"  {_message(message)}" for message in check.messages]
    lines += [f"  tools: {tools}"] if tools else []
    lines.append(f"  expected: {check.expected}")
    lines += [f"  got: {_said(said)}" for said in outcome.transcript]
    return "\n".join(lines) + "\n"


def with_report(card: str, text: str) -> str:
    """Returns the card with the text between its two comments; they are appended if absent."""
    if START not in card:
        card = f"{card}\n{START}{END}".lstrip()
    before, _, rest = card.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{CARD.name} lacks {END.strip()!r} after {START.strip()!r}")
    return f"{before}{START}\n{text}\n{END}{after}"


def write_card(measured: Measured) -> None:
    """Writes the figures into the model card. Raises ValueError if its comments are broken."""
    card = CARD.read_text(encoding="utf-8") if CARD.exists() else ""
    CARD.write_text(with_report(card, report(measured)), encoding="utf-8")


def _facts(measured: Measured) -> str:
    found = measured.candidate
    return (
        f"`{Path(found.path).name}`: {found.size_bytes / 1e6:.2f} MB, {found.vocabulary:,} tokens, "
        f"context {found.context:,}, sha256 `{found.sha256}`\n"
    )


def _row(score: Score) -> tuple[str, ...]:
    tenths = 1000 * score.passed // score.asked  # cut off: what missed 100 % must not read 100 %
    percent = f"{tenths / 10:.1f}".removesuffix(".0")
    verdict = "ok" if score.ok else "MISSED"
    figures = (str(score.passed), str(score.asked), f"{percent} %", f"{score.target} %")
    return (score.title, *figures, verdict)


def _efforts(reasoning: Sequence[Reasoning]) -> str:
    lengths = ", ".join(
        f"{one.effort} {one.characters:.0f}" + ("" if one.step is None else f" ({one.step:.1f} ×)")
        for one in reasoning
    )
    verdict = "ok" if all(one.ok for one in reasoning) else "MISSED"
    return (
        f"Reasoning, mean characters: {lengths}; each at least {STEP_TARGET} × the one before: "
        f"{verdict}\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "".join(_line(row, widths) for row in (head, rule, *rows))


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(row, widths, strict=True)
    cells = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(cells)} |\n"


def _message(message: JSON) -> str:
    parts = [
        message["content"],
        *(json.dumps(c["function"]) for c in message.get("tool_calls", ())),
    ]
    return f"{message['role']}: {' '.join(filter(None, parts))[:300]}"


def _said(said: Said) -> str:
    return " | ".join(_parts(said))


def _parts(said: Said) -> Iterator[str]:
    if said.error is not None:
        yield said.error
    if said.reasoning:
        yield f"({said.reasoning[:200]})"
    for call in said.calls:
        yield f"{call.name}({json.dumps(call.arguments, ensure_ascii=False)})"
    if said.content:
        yield said.content[:300]
    yield said.finish_reason or "no finish_reason"
