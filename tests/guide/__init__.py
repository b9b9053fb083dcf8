"""The scripts of Hugging Face's guide to gpt-oss, as its users paste them.

Only the base URL is read from the environment. ``python -m tests.guide`` runs each of them many times
against a server in demo mode, at the model's own temperature.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.serving import Serving

FOLDER = Path(__file__).with_name("scripts")


def printed(script: str, server: Serving) -> str:
    """Runs a script against a server; returns what it prints. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{script}.py")],
        env={"PATH": os.environ["PATH"], "BASE_URL": server.base_url, "HF_TOKEN": server.key},
        capture_output=True,
        text=True,
        check=True,
        timeout=180,
    )
    return done.stdout
