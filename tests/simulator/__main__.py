"""``python -m tests.simulator --port 9000``: the simulator as a process, until interrupted."""

from __future__ import annotations

import argparse
import signal
import threading

from tests.simulator import Simulator


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Simulator(port=parser.parse_args().port) as simulator:
        print(simulator.base_url, flush=True)
        ended.wait()


if __name__ == "__main__":
    main()
