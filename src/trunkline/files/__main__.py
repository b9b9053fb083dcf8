"""Runs the child process that reads one PDF; started by `files.pdf`, not by people."""

from __future__ import annotations

from trunkline.files.reading import main

if __name__ == "__main__":
    main()
