"""What processes use, read from ``/proc``: CPU time and memory of a process and its descendants."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

_STOP_AFTER_S = 5.0


def cpu_s(pid: int) -> float:
    """Returns the CPU seconds of one process so far, summed over the threads that it has now.

    The scheduler's own count is used: clock ticks are too coarse for a second's worth of work.
    """
    return sum(_run_ns(thread) for thread in Path(f"/proc/{pid}/task").glob("*")) / 1e9


def tree_cpu_s(pid: int) -> float:
    """Returns the CPU seconds of a process and its descendants."""
    return sum(cpu_s(each) for each in tree(pid))


def tree_pss_mb(pid: int) -> float:
    """Returns the memory of a process and its descendants in MB: what is shared counts by its share."""
    return sum(_pss_kb(each) for each in tree(pid)) * 1024 / 1e6


def tree(pid: int) -> list[int]:
    """Returns a process and its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Ends the process on leaving, by force if it does not go by itself."""
    with process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_AFTER_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _run_ns(thread: Path) -> int:
    try:
        return int((thread / "schedstat").read_text().split()[0])
    except OSError:
        return 0


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
