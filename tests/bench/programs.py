"""The programs that a measurement needs besides Python: a C compiler, nginx and LiteLLM, all optional."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SOURCES = Path(__file__).parent
_COMPILERS = ("gcc", "cc", "clang")
_SYSTEM_PATHS = ("/usr/sbin", "/usr/local/sbin")  # where nginx lies, and users do not look

NO_COMPILER = "no C compiler; to install one: apt-get install gcc libc6-dev"
NO_NGINX = "no nginx; to install it: apt-get install nginx-light"
NO_LITELLM = "no LiteLLM; to install it: make .venv-litellm/.installed"

_LITELLM = Path(
    ".venv-litellm", "bin", "litellm"
).absolute()  # of its own: it must not meet our dependencies


@dataclass(frozen=True, slots=True)
class Programs:
    """The compiled upstream stand-in and load generator, and what else can be compared with."""

    upstream: Path
    loadgen: Path
    nginx: str | None
    litellm: str | None


def found(folder: Path) -> Programs | None:
    """Compiles the C sources into the folder; returns None if there is no compiler."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        return None
    for name in ("upstream", "loadgen"):
        source = _SOURCES / f"{name}.c"
        subprocess.run([compiler, "-O2", "-w", "-o", folder / name, source], check=True)
    return Programs(
        upstream=folder / "upstream",
        loadgen=folder / "loadgen",
        nginx=shutil.which("nginx", path=os.pathsep.join([os.environ["PATH"], *_SYSTEM_PATHS])),
        litellm=shutil.which(_LITELLM),
    )
