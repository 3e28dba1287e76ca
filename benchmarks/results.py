"""Keeps what benchmarks found in RESULTS.md: each table in its own section, with its machine."""

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from actscope.plurals import counted
from benchmarks.measuring import Options
from benchmarks.tables import Table, markdown

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("numpy", "h5py", "keras", "jax", "tensorflow-cpu", "tensorflow", "torch", "keras-hub")


def machine() -> str:
    """The machine and the versions in one line."""
    return f"{os.cpu_count()} cores, {_processor()}, {_memory()}; Python {_versions()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


def _memory() -> str:
    if not hasattr(os, "sysconf"):
        return "memory unknown"
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _versions() -> str:
    found = [platform.python_version()]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found)


def update(table: Table, options: Options, path: Path = RESULTS) -> None:
    """Put a table into its section, which is made at the end of the file where it is missing."""
    opening, closing = f"<!-- {table.name} -->", f"<!-- /{table.name} -->"
    how = f"{date.today().isoformat()}, {counted(options.rounds, 'round')}"
    if options.scale != 1:
        how += f", {options.scale:g} of the samples"
    section = f"{opening}\n{markdown(table)}\n\n{how}; {machine()}.\n{closing}"
    text = path.read_text()
    if opening in text:
        before, _, rest = text.partition(opening)
        text = before + section + rest.partition(closing)[2]
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    path.write_text(text)
