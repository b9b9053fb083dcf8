"""Numbers of bytes as people read them."""

from __future__ import annotations

_MB, _GB = 1e6, 1e9


def size(count: float) -> str:
    """Returns "12.1 GB", or "2.7 MB" of what is smaller than one."""
    return f"{count / _GB:,.1f} GB" if count >= _GB else f"{count / _MB:,.1f} MB"
