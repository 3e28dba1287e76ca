"""Runs the workers, one per backend, round after round in turn."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from actscope.benching.plan import Bench, Measured, Run, Timed, Work
from actscope.benching.worker import ANSWER
from actscope.errors import ActscopeError, BackendError

TIMEOUT = 10


class WorkerError(ActscopeError):
    """A backend could not do its part."""


class Process:
    """One worker."""

    def __init__(self, backend: str, errors: IO[str]) -> None:
        self.backend = backend
        self._errors = errors
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "actscope.benching.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )

    def ask(self, command: str, **words: Any) -> dict[str, Any]:
        """Have the worker do something and wait for its answer.

        Raises:
            WorkerError: it could not, or its process has ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": command, **words}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerError(self._last_words()) from error
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                found: dict[str, Any] = json.loads(line.removeprefix(ANSWER))
                if "error" in found:
                    raise WorkerError(found["error"])
                return found
        raise WorkerError(self._last_words())

    def _last_words(self) -> str:
        code = self._process.wait(TIMEOUT)
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return f"its process ended with {code}" + (f": {lines[-1]}" if lines else "")

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def bench(  # noqa: PLR0913 - the words of the command
    model: str,
    data: str,
    *,
    backends: Sequence[str] = ("jax", "tensorflow", "torch"),
    layers: Sequence[str] = (),
    batch_sizes: Sequence[int] = (32, 256),
    repeat: int = 5,
    samples: int | None = None,
    folder: str | Path | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Bench:
    """Measure a model on several backends, each in a process of its own, in interleaved rounds.

    All take the same weights from a file. Compiling is measured apart. At the end the backends'
    recordings are compared layer by layer.

    Args:
        model: a `.keras` file or `package.module:callable`.
        data: what `actscope extract` takes as DATA.
        backends: which backends; one that is not installed or fails is said and left out.
        layers: patterns of the layers to record.
        batch_sizes: samples per batch.
        repeat: rounds.
        samples: how many samples; by default all.
        folder: where recordings are written; by default a temporary folder.
        on_step: called with a line before each step.

    Raises:
        BackendError: none of the backends is installed.
    """
    with TemporaryDirectory(dir=folder) as scratch, ExitStack() as stack:
        weights = str(Path(scratch) / "weights.npz")
        work = Work(model, data, tuple(layers), samples, weights, scratch)
        measured = {name: Measured(name) for name in backends}
        processes = dict(_started(work, measured, stack, on_step))
        for size in batch_sizes:
            _measure(size, repeat, processes, measured, on_step)
        for name, process in processes.items():
            with _survived(name, measured):
                measured[name] = replace(measured[name], **process.ask("finish"))
        found = [one for one in measured.values() if one.runs]
        on_step("comparing the recordings")
        return Bench(
            model,
            data,
            max(one.samples for one in measured.values()),
            machine(),
            tuple(measured.values()),
            tuple(_compared(found)),
        )


def _started(
    work: Work, measured: dict[str, Measured], stack: ExitStack, on_step: Callable[[str], None]
) -> Iterator[tuple[str, Process]]:
    """The workers of the backends that load the model."""
    if not any(find_spec(name) for name in measured):
        raise BackendError(
            f"none of the backends {', '.join(measured)} is installed: "
            "pip install 'actscope[jax]' brings one"
        )
    for name in list(measured):
        if find_spec(name) is None:
            measured[name] = replace(measured[name], error="not installed")
            continue
        on_step(f"{name}: loading")
        errors = stack.enter_context((Path(work.folder) / f"{name}.log").open("w+"))
        process = Process(name, errors)
        stack.callback(process.end)
        with _survived(name, measured):
            measured[name] = replace(measured[name], **process.ask("load", **asdict(work)))
            yield name, process


def _measure(
    size: int,
    repeat: int,
    processes: dict[str, Process],
    measured: dict[str, Measured],
    on_step: Callable[[str], None],
) -> None:
    """All rounds of one batch size, the backends in turn."""
    compiled: dict[str, dict[str, Any]] = {}
    forward: dict[str, list[float]] = {name: [] for name in processes}
    recorded: dict[str, list[dict[str, Any]]] = {name: [] for name in processes}
    for name, process in processes.items():
        on_step(f"{name}: compiling for batches of {size}")
        with _survived(name, measured):
            compiled[name] = process.ask("compile", batch_size=size)
    for number in range(repeat):
        for name in compiled:
            on_step(f"{name}: round {number + 1} of {repeat}, batches of {size}")
            with _survived(name, measured):
                forward[name].append(processes[name].ask("forward", batch_size=size)["seconds"])
                recorded[name].append(processes[name].ask("record", batch_size=size))
    for name, words in compiled.items():
        if len(recorded[name]) == repeat:
            _add_run(name, words, forward[name], recorded[name], measured)


def _add_run(
    name: str,
    compiled: dict[str, Any],
    forward: list[float],
    recorded: list[dict[str, Any]],
    measured: dict[str, Measured],
) -> None:
    last = recorded[-1]
    run = Run(
        compiled["batch_size"],
        compiled["compile_seconds"],
        Timed(tuple(forward)),
        Timed(tuple(one["seconds"] for one in recorded)),
        last["bytes_to_host"],
        last["bytes_to_disk"],
    )
    before = measured[name]
    measured[name] = replace(
        before, runs=(*before.runs, run), recording=before.recording or last["recording"]
    )


@contextmanager
def _survived(name: str, measured: dict[str, Measured]) -> Iterator[None]:
    """One backend's failure is noted and does not take the others with it."""
    try:
        yield
    except WorkerError as error:
        measured[name] = replace(measured[name], error=measured[name].error or str(error))


def _compared(found: Sequence[Measured]) -> Iterator[dict[str, Any]]:
    from actscope.comparing.comparison import compare

    for first, second in combinations(found, 2):
        pair = {"a": first.backend, "b": second.backend}
        if first.weights_sha256 != second.weights_sha256:
            yield {**pair, "error": "the weights are not the same"}
            continue
        yield {**compare(first.recording, second.recording, common=True).to_json(), **pair}


def machine() -> dict[str, Any]:
    """The processor, cores, memory and system that the figures are from."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if os.name == "posix" else 0
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory-bytes": memory,
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
