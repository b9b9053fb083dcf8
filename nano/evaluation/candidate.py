"""``trunkline`` with another file as its built-in model: ``… candidate FILE.gguf serve --port 0``.

``serve --model`` would speak to it as to a gpt-oss of the user's, without nano's card.
"""

from __future__ import annotations

import sys
from pathlib import Path

from trunkline import __main__ as program
from trunkline.engine import model

if __name__ == "__main__":
    model.NANO = Path(sys.argv[1])
    sys.exit(program.run(sys.argv[2:]))
