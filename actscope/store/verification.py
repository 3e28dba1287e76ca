"""Looks for everything that is wrong with a recording: structure, sizes, checksums.

    python -m actscope.store.verification FILE

does it in this process and prints the findings as JSON; `verify` runs that in a process of its own,
with limits, since the HDF5 library itself can crash or hang on a crafted file.
"""

import json
import subprocess
import sys
from pathlib import Path

from actscope.errors import FormatError
from actscope.store.checking import check, check_statistics
from actscope.store.findings import Finding, finding
from actscope.store.journal import partial_path
from actscope.store.reader import open_recording
from actscope.store.structure import check_exists, structure_findings

SECONDS = 60
BYTES_PER_SECOND = 50 * 2**20
MEMORY = 4 * 2**30
"""Address space beside the file, most of which libraries only reserve."""


def verify(path: str | Path) -> list[Finding]:
    """Everything that is wrong with a recording, each with its place; empty where nothing is.

    Raises:
        MissingFileError: there is no such file.
    """
    path = Path(path)
    try:
        check_exists(path)
    except FormatError as error:
        return [finding("/", error, path)]
    if path.is_dir():
        return [Finding("/", f"{path} is a folder, not an actscope recording")]
    size = (path if path.exists() else partial_path(path)).stat().st_size
    command = [sys.executable, "-m", __name__, str(path), str(MEMORY + size)]
    seconds = SECONDS + size / BYTES_PER_SECOND
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return [Finding("/", f"reading it took more than {seconds:.0f} seconds and was broken off")]
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return [Finding("/", f"reading it ended the process with {done.returncode}: {words}")]
    return [Finding(*found) for found in json.loads(done.stdout.splitlines()[-1])]


def findings(path: Path) -> list[Finding]:
    """What `verify` finds, looked for in this process."""
    found = structure_findings(path)
    if found:
        return found
    try:
        open_recording(path).close()
        return check_statistics(path) + check(path)
    except FormatError as error:
        return [finding("/", error, path)]


def _limit_memory(size: int) -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


if __name__ == "__main__":
    _limit_memory(int(sys.argv[2]))
    sys.stdout.write(json.dumps(findings(Path(sys.argv[1]))) + "\n")
