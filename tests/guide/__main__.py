"""Counts how often each script of the guide prints what it should."""

from __future__ import annotations

import argparse

from tests.guide import printed
from tests.guide.judge import SCRIPTS
from tests.serving import launched


def main() -> int:
    """Runs the command; returns 1 unless every run was right."""
    parser = argparse.ArgumentParser(prog="tests.guide", description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    wrong = 0
    with launched(flags=["--demo"]) as server:
        server.wait_for_banner()
        for script, is_right in SCRIPTS.items():
            outputs = [printed(script, server) for _ in range(runs)]
            right = sum(map(is_right, outputs))
            wrong += runs - right
            print(f"{script}: {right} of {runs}, last: {outputs[-1].strip()}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
