"""The program ``trunkline``: runs a command and turns its failure into a message and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from typer.exceptions import Abort, TyperException

from trunkline.cli import app
from trunkline.errors import ConfigError, TrunklineError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

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
        sys.stdout.flush()
    except BrokenPipeError:  # nobody reads on, and nobody needs to be told
        _give_up_stdout()
        return FAILURE
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _give_up_stdout()
        return _failed(f"cannot write what is to be printed: {error.strerror}", FAILURE)
    except ConfigError as error:
        return _failed(error.message, USAGE)
    except TrunklineError as error:
        return _failed(error.message, FAILURE)
    except TyperException as error:
        return _failed(f"{_sentence(error.format_message())}{_hint(error)}", USAGE)
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED
    return code if isinstance(code, int) else OK


def _give_up_stdout() -> None:
    """Leaves nothing to be flushed at the exit, where it would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
