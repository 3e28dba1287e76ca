"""Freed memory stays while runs are under way, and goes back afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from actscope import freed_memory
from actscope.freed_memory import KEEPING, RETURNING, keeping_freed_memory

PAGES = 10 * 2**27 // os.sysconf("SC_PAGE_SIZE")
"""Of the ten blocks that are filled."""

FAULTS_OF_LARGE_BLOCKS = """
import ctypes, resource
from actscope.freed_memory import keeping_freed_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        block = libc.malloc(2**27)
        ctypes.memset(block, 1, 2**27)
        libc.free(block)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with keeping_freed_memory():
    faults()
    kept = faults()
print(kept, faults())
"""


def faults(**environment):
    """Page faults where ten blocks of 128 MiB are filled one after another: during, and after."""
    result = subprocess.run(
        [sys.executable, "-c", FAULTS_OF_LARGE_BLOCKS],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in result.stdout.split()]


@pytest.fixture
def settings(monkeypatch):
    """What would be set."""
    found = []
    monkeypatch.setattr(freed_memory, "_set", found.append)
    return found


@pytest.mark.skipif(not freed_memory._is_glibc(), reason="another malloc")
def test_large_blocks_are_used_again_and_then_given_back():
    kept, after = faults()
    assert kept < PAGES / 20
    assert after > PAGES / 20 or _has_large_pages()


def _has_large_pages():
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return setting.exists() and "[always]" in setting.read_text()


@pytest.mark.skipif(not freed_memory._is_glibc(), reason="another malloc")
@pytest.mark.parametrize(
    "chosen", [{"MALLOC_MMAP_MAX_": "65536"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_max=65536"}]
)
def test_who_chose_settings_keeps_them(chosen):
    kept, _ = faults(**chosen)
    assert kept > PAGES / 20 or _has_large_pages()


def test_the_last_of_several_runs_gives_back(settings):
    with keeping_freed_memory():
        with keeping_freed_memory():
            assert settings == [KEEPING]
        assert settings == [KEEPING]
    assert settings == [KEEPING, RETURNING]


def test_gives_back_after_an_error(settings):
    with pytest.raises(ZeroDivisionError), keeping_freed_memory():
        raise ZeroDivisionError
    assert settings == [KEEPING, RETURNING]
