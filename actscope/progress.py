"""A progress bar for a run: samples per second, bytes, and the time left."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress(
    name: str,
    samples: int | None,
    bytes_per_sample: int,
    *,
    shown: bool | None,
    noun: str = "samples",
) -> Iterator[Callable[[int], None]]:
    """Yields what is to be called with the number of samples done since the last call.

    Args:
        name: what is being written.
        samples: how many there will be, where that is known.
        bytes_per_sample: what each takes in the file; 0 where that is not known.
        shown: whether to draw; None draws on a terminal only. Drawn on stderr.
        noun: what is counted.
    """
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda _: None
        return
    with _bar() as bar:
        task = bar.add_task(name, total=samples, speed="", size="")
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            speed = bar.tasks[task].speed
            bar.update(
                task,
                completed=done,
                speed=f"{speed:,.0f} {noun}/s" if speed else "",
                size=readable_bytes(done * bytes_per_sample) if bytes_per_sample else "",
            )

        yield advance


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[size]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def readable_bytes(count: float) -> str:
    """Bytes as a person reads them: `"1.41 GB"`, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
