"""Compiles `actscope/scan.c` when actscope is built or installed, if there is a compiler.

Without one the build goes on: NumPy does the same, in three to five times the time.
"""

import os
import shlex
import subprocess
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
    "-fno-math-errno",
    "-fno-trapping-math",  # a value that is left out may still be computed with
    "-ffp-contract=off",  # the same sums on every processor
]


class CompileScan(BuildHookInterface[Any]):
    """Adds the compiled library to the wheel, which is then one for this platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile before the files are collected."""
        library = Path(self.root, LIBRARY)
        library.unlink(missing_ok=True)
        compiler = shlex.split(os.environ.get("CC", "cc"))
        command = [*compiler, *FLAGS, "-o", str(library), str(Path(self.root, SOURCE))]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or str(error)
            self.app.display_warning(f"{SOURCE} was not compiled, NumPy takes its place: {reason}")
            return
        build_data["artifacts"].append(LIBRARY)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{next(platform_tags())}"
