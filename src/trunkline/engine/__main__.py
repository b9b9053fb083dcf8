"""Runs the engine's child process; started by the supervisor, not by people."""

from __future__ import annotations

from trunkline.engine.child import main

if __name__ == "__main__":
    main()
