"""Compiles `actscope/scan.c` when actscope is built or installed, if there is a compiler.

Without one, or where something else is in the way, the build goes on, and NumPy takes its place.
"""

import os
import shlex
import subprocess
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

SOURCE, LIBRARY = "actscope/scan.c", "actscope/libscan.so"
FLAGS = [
    "-O3",
    "-std=gnu11",
    "-shared",
    "-fPIC",
    "-fno-trapping-math",  # a value that is left out may still be computed with
    "-ffp-contract=off",  # the same sums on every processor
]


class CompileScan(BuildHookInterface[Any]):
    """Adds the compiled library to the wheel, which is then one for this platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile before the files are collected."""
        try:
            _compile(Path(self.root, SOURCE), Path(self.root, LIBRARY))
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or str(error)
            self.app.display_warning(f"{SOURCE} was not compiled, NumPy takes its place: {reason}")
            return
        build_data["artifacts"].append(LIBRARY)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform()}"


def _compile(source: Path, library: Path) -> None:
    """Make the library in the place of an older one, whole at any time."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    checksum = f"-DSOURCE={zlib.crc32(source.read_bytes())}u"
    made = library.with_suffix(f".{os.getpid()}")
    try:
        command = [*compiler, *FLAGS, checksum, "-o", str(made), str(source)]
        subprocess.run(command, check=True, capture_output=True, text=True, errors="replace")
        made.replace(library)
    finally:
        made.unlink(missing_ok=True)


def _platform() -> str:
    """This one; a promise to run on others, as of manylinux, is for who checks it."""
    others = ("manylinux", "musllinux")
    return next(tag for tag in platform_tags() if not tag.startswith(others))
