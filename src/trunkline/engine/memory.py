"""Whether a model fits into memory, and how fast it can be at best: told before it is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from trunkline.config import EngineSettings
from trunkline.engine.model import Figures
from trunkline.engine.size import size

BATCH = 512
"""Tokens that the engine reads at a time on a CPU."""
_CELLS = 256  # llama.cpp rounds what it keeps of a sequence up to a multiple of this
_PROCESS = 256 << 20  # bytes of the engine itself; 150 MB were measured at the 20b's shape
_MB = 1 << 20
_FAST_MEMORY = 50e9  # bytes a second: two channels of DDR4-3200, 51.2 GB/s by its name


class Need(msgspec.Struct, frozen=True):
    """Bytes of memory that a running model takes: about, from its headers."""

    weights: int
    cache: int
    work: int

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.work


def need(
    figures: Figures, *, slots: int, context: int, cache_mb: int = 0, gpu_layers: int = 0
) -> Need:
    """Returns what a model takes that keeps ``context`` tokens in each of ``slots``.

    Of two layers one keeps all of them, and the other its window and the batch that is being read.
    What lies on a GPU with memory of its own is left out.
    """
    context = min(context, figures.context)
    windowed = figures.layers // 2 if figures.window else 0
    near = min(context, _rounded(figures.window + BATCH))
    tokens = (figures.layers - windowed) * _rounded(context) + windowed * near
    here = _share_here(figures, gpu_layers)
    return Need(
        weights=round(figures.size_bytes * here),
        cache=round(slots * tokens * figures.layer_cache_bytes * here),
        work=cache_mb * _MB + _PROCESS,
    )


def need_of(figures: Figures, engine: EngineSettings) -> Need:
    """Returns what a model takes as the engine is configured."""
    return need(
        figures,
        slots=engine.slots,
        context=engine.context,
        cache_mb=engine.cache_mb,
        gpu_layers=engine.gpu_layers,
    )


def shortage(name: str, need: Need, available: int | None) -> str | None:
    """Returns the sentence that says why a model cannot be loaded, None if nothing speaks against it."""
    if available is None or need.total <= available:
        return None
    return (
        f"'{name}' does not fit into memory: it takes about {size(need.total)} ({told(need)}), and "
        f"{size(available)} are available; lower [engine] slots or context, free some memory, or try "
        "it all the same with [engine] check_memory = false"
    )


def told(need: Need) -> str:
    """Returns what a need consists of, in words."""
    return f"{size(need.weights)} of weights, {size(need.cache)} for the context, {size(need.work)} to work"


def speed(figures: Figures) -> str:
    """Returns what can be said of a model's speed on a CPU without trying: an upper bound."""
    read = figures.read_bytes
    return (
        f"each token reads about {size(read)} of weights: on a CPU roughly {_FAST_MEMORY / read:.0f} "
        f"a second at best, where memory delivers {_FAST_MEMORY / 1e9:.0f} GB/s"
    )


def available() -> int | None:
    """Returns the bytes of memory that a new process can have, None if that is not known.

    Linux tells it, and the limits of control groups, which containers have; Windows tells it too;
    elsewhere it is all the memory there is, used or not.
    """
    if sys.platform == "win32":
        return _windows()
    found = linux()
    if found is not None:
        return found
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def promised(need: Need, pid: int, root: Path = Path("/")) -> int:
    """Returns what a running engine needs beyond what ``available`` counts as taken by it.

    Weights that it has mapped count as free, since they could be read again; so does cache that it
    has not filled yet. 0 where that is not told.
    """
    own = _fields(root / f"proc/{pid}/status").get("RssAnon:")
    return 0 if own is None else max(0, need.total - own * 1024)


def linux(root: Path = Path("/")) -> int | None:
    """Returns what the files under ``root`` tell, None if it is no Linux."""
    system = _fields(root / "proc/meminfo").get("MemAvailable:")
    if system is None:
        return None
    return min([system * 1024, *_left_to_groups(root)])


class _Groups(NamedTuple):
    """Where a version of control groups keeps its figures."""

    folder: str
    limit: str
    used: str
    cached: tuple[str, str]


_V1 = _Groups(
    "sys/fs/cgroup/memory",
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_inactive_file", "total_active_file"),
)
_V2 = _Groups("sys/fs/cgroup", "memory.max", "memory.current", ("inactive_file", "active_file"))


def _left_to_groups(root: Path) -> Iterator[int]:
    """Yields for each control group around this process that has a limit what it leaves.

    The kernel gives back the pages of files when a group needs memory, so they count as free.
    """
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        groups = _V1 if controllers else _V2
        top = root / groups.folder
        # Inside a container the path may be the host's; its own group is mounted as the top then.
        own = top / path.lstrip("/")
        for group in (own, *own.parents):
            if not group.is_relative_to(top):
                break
            limit, used = _number(group / groups.limit), _number(group / groups.used)
            if limit is not None and used is not None:
                stat = _fields(group / "memory.stat")
                yield max(0, limit - used + sum(stat.get(kind, 0) for kind in groups.cached))


def _windows() -> int | None:
    import ctypes

    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of GlobalMemoryStatusEx."""

        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total_physical", ctypes.c_ulonglong),
            ("available_physical", ctypes.c_ulonglong),
            ("others", ctypes.c_ulonglong * 5),
        )

    status = Status(length=ctypes.sizeof(Status))
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009 - only there on Windows
    if not kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.available_physical)


def _share_here(figures: Figures, gpu_layers: int) -> float:
    """Returns the share of a model that stays in the memory of the CPU."""
    if sys.platform == "darwin" or not figures.layers:  # there the GPU has the same memory
        return 1.0
    return max(0.0, 1 - gpu_layers / (figures.layers + 1))  # the output counts as a layer


def _rounded(tokens: int) -> int:
    return -(-tokens // _CELLS) * _CELLS


def _number(path: Path) -> int | None:
    text = "".join(_lines(path))
    return int(text) if text.isdigit() else None  # "max" is no limit


def _fields(path: Path) -> dict[str, int]:
    """Reads lines of a name and a number."""
    words = (line.split() for line in _lines(path))
    return {found[0]: int(found[1]) for found in words if len(found) > 1 and found[1].isdigit()}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
