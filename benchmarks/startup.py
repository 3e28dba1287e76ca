"""How long commands take from a cold start, beside the bare imports of what they need.

Whole processes, interleaved: `import actscope`, `actscope info`, and `actscope render grid` of 64
channels to a PNG, each beside the imports alone of the libraries that it cannot do without.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.measuring import Options, actscope_command, rounds_of
from benchmarks.sample_recordings import FEATURE_MAPS, write_pictures
from benchmarks.tables import Ratio, Series, Table

SAMPLES = 16
IMPORT, INFO, GRID = "`import actscope`", "`actscope info`", "`actscope render grid`"
WHOLE, BARE = "whole process", "the bare imports"
BARE_INFO = "import click, numpy, rich.console, rich.table"
BARE_GRID = "import click, matplotlib.figure, matplotlib.backends.backend_agg"


def commands(folder: Path) -> dict[tuple[str, str], list[str]]:
    """The command lines by row and column, in the order in which they are run."""
    actscope, python = actscope_command(), [sys.executable, "-c"]
    recording, picture = str(folder / "run.h5"), str(folder / "grid.png")
    grid = [actscope, "render", "grid", recording, FEATURE_MAPS, "-o", picture, "--overwrite"]
    return {
        (BARE, IMPORT): [*python, "pass"],
        (WHOLE, IMPORT): [*python, "import actscope"],
        (BARE, INFO): [*python, BARE_INFO],
        (WHOLE, INFO): [actscope, "info", recording],
        (BARE, GRID): [*python, BARE_GRID],
        (WHOLE, GRID): grid,
    }


def tables(options: Options) -> Iterator[Table]:
    """One table, with a column for each command."""
    found: dict[str, dict[str, list[float]]] = {WHOLE: {}, BARE: {}}
    with tempfile.TemporaryDirectory() as folder:
        write_pictures(Path(folder) / "run.h5", SAMPLES)
        ways = {
            place: partial(subprocess.run, command, stdout=subprocess.DEVNULL, check=True)
            for place, command in commands(Path(folder)).items()
        }
        for (row, column), seconds in rounds_of(ways, options.rounds).items():
            found[row][column] = seconds
    series = (Series(WHOLE, found[WHOLE], at_most={GRID: 1.5}), Series(BARE, found[BARE]))
    ratios = (Ratio("whole / bare", (WHOLE,), (BARE,)),)
    yield Table("startup", "From a cold start", series, ratios)
