"""How the router of one command's own is found to have ended."""

from __future__ import annotations

import subprocess
import tempfile

from trunkline.terminal.own import Own


def test_one_whose_connections_broke_is_given_the_moment_it_needs_to_end() -> None:
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            ["sh", "-c", "read asked; sleep 0.1; exit 3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child,
    ):
        own = Own(child, log, "http://127.0.0.1:1")
        assert own.ended() is None
        assert child.stdin is not None
        child.stdin.close()
        assert own.ended() == "it ended with code 3"
