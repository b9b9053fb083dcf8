"""The program ``trunkline``: runs a command and turns its failure into a message and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from typer.exceptions import Abort, TyperException

from trunkline.cli import app
from trunkline.errors import ConfigError, TrunklineError

OK, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130


def main() -> None:
    """Runs the command that the program's arguments name, and exits."""
    if sys.stdout is None:  # started with its stdout closed: what is printed goes nowhere
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs a command; returns 0 fine, 1 failure, 2 usage or configuration, 130 interrupted."""
    try:
        code = app(args=list(arguments), prog_name="trunkline", standalone_mode=False)
    except ConfigError as error:
        return _failed(error.message, USAGE)
    except TrunklineError as error:
        return _failed(error.message, FAILURE)
    except TyperException as error:
        return _failed(f"{_sentence(error.format_message())}{_hint(error)}", USAGE)
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED
    return code if isinstance(code, int) else OK


def _failed(message: str, code: int) -> int:
    print(f"trunkline: {message}", file=sys.stderr)
    return code


def _sentence(text: str) -> str:
    """Fits a message of the argument parser to ours: lower case, no full stop."""
    return f"{text[:1].lower()}{text[1:]}".rstrip(".")


def _hint(error: TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"; see '{context.command_path} --help'" if context else ""


if __name__ == "__main__":
    main()
