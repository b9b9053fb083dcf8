"""Puts a trained model into the package: ``python -m nano.publish build/nano/gpt-oss-nano.gguf``."""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from pathlib import Path

from trunkline.engine.model import NANO


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="nano.publish", description=__doc__)
    parser.add_argument("file", type=Path)
    publish(parser.parse_args().file, NANO)


def publish(file: Path, into: Path) -> None:
    """Copies the file over the shipped one, and writes its hash into the card beside it."""
    card = into.with_suffix(".toml")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    text, count = re.subn(r'(?m)^sha256 = "[0-9a-f]*"$', f'sha256 = "{digest}"', card.read_text())
    if count != 1:
        raise ValueError(f"{card} has {count} lines with a sha256")
    shutil.copyfile(file, into)
    card.write_text(text)


if __name__ == "__main__":
    main()
