"""Memory that a run frees stays with the process until the run ends, on systems with glibc.

glibc returns large blocks to the system when they are freed, and the top of its heap with them.
The next batch then waits for fresh pages, which takes longer than filling them: PyTorch computes
ResNet50 in two thirds of the time where they stay (see benchmarks/RESULTS.md). They are settings
of the process: they change for as long as runs are under way, and go back afterwards to what glibc
itself arrives at in a process that has freed a large block. Whoever chose settings in the
environment keeps these.
"""

import ctypes
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4
"""What `mallopt` calls its settings (`malloc.h` of glibc)."""

KEEPING = {TRIM_THRESHOLD: -1, MMAP_MAX: 0}
"""Nothing is returned, and no block is mapped for itself."""

RETURNING = {MMAP_MAX: 65_536, MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**26}
"""glibc's default, and the most that it raises its two thresholds to."""

_lock = threading.Lock()
_under_way = 0


@contextmanager
def keeping_freed_memory() -> Iterator[None]:
    """Keep the memory that is freed meanwhile; several runs may be under way."""
    _count(1)
    try:
        yield
    finally:
        _count(-1)


def _count(change: int) -> None:
    global _under_way
    with _lock:
        before, _under_way = _under_way, _under_way + change
        if not before:
            _set(KEEPING)
        elif not _under_way:
            _set(RETURNING)


def _set(settings: Mapping[int, int]) -> None:
    if _is_glibc() and not _chosen(os.environ):
        for setting, value in settings.items():
            ctypes.CDLL(None).mallopt(setting, value)


def _is_glibc() -> bool:
    return os.name == "posix" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def _chosen(environment: Mapping[str, str]) -> bool:
    """Whether the user set what is set here."""
    named = any(name.startswith(("MALLOC_MMAP_", "MALLOC_TRIM_")) for name in environment)
    return named or "glibc.malloc." in environment.get("GLIBC_TUNABLES", "")
