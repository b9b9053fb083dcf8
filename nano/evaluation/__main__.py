"""``python -m nano.evaluation``: measures a nano model through the running router."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import msgspec

from nano.evaluation import report
from nano.evaluation.catalogue import KEYS
from nano.evaluation.measurement import Measured, Plan, measure
from nano.evaluation.runner import Asker
from nano.evaluation.server import Candidate, candidate, serving
from trunkline.errors import TrunklineError

OK, FAILURE, INTERRUPTED = 0, 1, 130


class _Arguments(argparse.Namespace):
    model: Path | None
    only: list[str]
    count: int | None
    guide_runs: int
    show_failures: bool
    json: Path | None
    write_card: bool


def main() -> int:
    """Measures and prints; returns 1 if a target is missed or the router does not start."""
    arguments = _arguments()
    plan = Plan(only=arguments.only, count=arguments.count, guide_runs=arguments.guide_runs)
    try:
        measured = _measured(candidate(arguments.model), plan)
    except TrunklineError as error:
        print(f"nano-eval: {error.message}", file=sys.stderr)
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    if arguments.show_failures:
        print("\n".join(report.failure(outcome) for outcome in measured.failures))
    print(report.report(measured), end="")
    if arguments.json is not None:
        arguments.json.write_bytes(msgspec.json.format(msgspec.json.encode(measured), indent=2))
    if arguments.write_card:
        report.write_card(measured)
    return OK if measured.ok else FAILURE


def _arguments() -> _Arguments:
    parser = argparse.ArgumentParser(prog="python -m nano.evaluation", description=__doc__)
    parser.add_argument(
        "--model", type=Path, metavar="FILE.gguf", help="measure this file in nano's place"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=KEYS,
        default=list(KEYS),
        metavar="CATEGORY",
        help=f"leave the others out: {', '.join(KEYS)}",
    )
    parser.add_argument(
        "--count", type=_positive, metavar="N", help="at most N checks of each category"
    )
    parser.add_argument(
        "--guide-runs",
        type=_positive,
        default=20,
        metavar="N",
        help="how often to ask each of the guide's prompts (default 20)",
    )
    parser.add_argument(
        "--show-failures", action="store_true", help="print what was asked, expected and got"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file")
    parser.add_argument(
        "--write-card", action="store_true", help=f"write the figures into nano/{report.CARD.name}"
    )
    arguments = parser.parse_args(namespace=_Arguments())
    if arguments.write_card and (set(arguments.only) != set(KEYS) or arguments.count is not None):
        parser.error("--write-card needs a whole run: leave out --only and --count")
    return arguments


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _measured(found: Candidate, plan: Plan) -> Measured:
    started = time.monotonic()
    with serving(found) as server, Asker(server) as asker:
        measured = measure(asker, found, plan, tell=_tell)
    print(f"\r{time.monotonic() - started:.0f} s".ljust(40), file=sys.stderr)
    return measured


def _tell(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done} of {total} checks", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
