"""How benchmarks measure: interleaved rounds, each backend in a process of its own."""

import compileall
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

Name = TypeVar("Name")

BACKENDS = {"jax": "JAX", "tensorflow": "TensorFlow", "torch": "PyTorch"}


@dataclass(frozen=True)
class Options:
    """How much is measured, and where.

    Attributes:
        backends: which backends of Keras.
        rounds: how many interleaved rounds, after one to warm up.
        folder: where files are written; a file system in memory shows more than a disk.
        disk: a folder on a disk.
        scale: by which numbers of samples are multiplied, for a quick look.
        keract: a Python with Keract 4.5.2 and TensorFlow 2.15.1, or None.
    """

    backends: tuple[str, ...] = tuple(BACKENDS)
    rounds: int = 5
    folder: Path = Path("/dev/shm")
    disk: Path = Path("/tmp")
    scale: float = 1.0
    keract: str | None = None

    def scaled(self, samples: int, multiple: int = 1) -> int:
        """A number of samples, scaled, and a multiple of something."""
        return max(1, round(samples * self.scale / multiple)) * multiple


def have_bytecode() -> None:
    """Compile actscope as installing it does, even where Python is told to keep no bytecode."""
    for package in ("actscope", "actscope_keras"):
        spec = find_spec(package)
        for folder in (spec and spec.submodule_search_locations) or ():
            compileall.compile_dir(folder, quiet=2)


def actscope_command() -> str:
    """The `actscope` of the Python that runs the benchmark."""
    return str(Path(sysconfig.get_path("scripts")) / "actscope")


def timed(function: Callable[[], Any]) -> float:
    """Seconds of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def rounds_of(
    ways: Mapping[Name, Callable[[], Any]],
    rounds: int,
    before: Callable[[], Any] = lambda: None,
) -> dict[Name, list[float]]:
    """Seconds of each way in interleaved rounds; the first, which warms up, is dropped.

    Args:
        ways: what to measure, by name.
        rounds: how many rounds count.
        before: called before each way, not measured.
    """
    found: dict[Name, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            before()
            found[name].append(timed(way))
    return {name: seconds[1:] for name, seconds in found.items()}


def have_memory_at_hand(folder: Path | str, size: int) -> None:
    """Let the machine find so many bytes for the files of a file system in memory.

    A virtual machine gives memory back to its host, and to get it again takes several times as long
    as writing to it: whoever comes first would pay.
    """
    piece = bytes(2**24)
    with new_file(folder) as path, path.open("wb", buffering=0) as file:
        for _ in range(0, size, len(piece)):
            file.write(piece)


def in_process(function: Callable[..., Any], *words: Any, backend: str = "") -> Any:
    """What a function of a benchmark's module returns in a process of its own, as plain data."""
    module = function.__module__
    if module == "__main__":
        raise ValueError("a benchmark's functions run from its module, not as a script")
    command = [sys.executable, "-m", "benchmarks.child", module, function.__name__]
    done = subprocess.run(
        [*command, json.dumps(words)],
        env={**os.environ, **({"KERAS_BACKEND": backend} if backend else {})},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def by_backend(
    function: Callable[..., dict[str, list[float]]], options: Options, *words: Any
) -> dict[str, dict[str, list[float]]]:
    """What a function returns on each backend: for each of its keys, the values by backend."""
    found: dict[str, dict[str, list[float]]] = {}
    for backend in options.backends:
        for key, values in in_process(function, *words, backend=backend).items():
            found.setdefault(key, {})[BACKENDS[backend]] = values
    return found


def predict_anew(model: Any, data: Any, batch_size: int) -> None:
    """`predict` of a model that was not compiled yet, as `actscope.extract` compiles anew."""
    model.make_predict_function(force=True)
    model.predict(data, batch_size=batch_size, verbose=0)


@contextmanager
def new_file(folder: Path | str, name: str = "benchmark.h5") -> Iterator[Path]:
    """A path for a file, which is gone afterwards."""
    place = Path(mkdtemp(prefix="actscope-", dir=folder))
    try:
        yield place / name
    finally:
        for file in place.iterdir():
            file.unlink()
        place.rmdir()


def peak_since(function: Callable[[], Any]) -> int:
    """The process's peak of resident bytes during a call (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")
    function()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
