"""Chooses how a recording is written: rows one after another, or in chunks."""

from pathlib import Path

from actscope.store.chunked_writer import ChunkedWriter
from actscope.store.schema import RecordingPlan
from actscope.store.writer import Writer


def open_writer(
    path: Path, plan: RecordingPlan, *, overwrite: bool = False
) -> Writer | ChunkedWriter:
    """The writer for a plan; see `Writer` and `ChunkedWriter` for what is raised."""
    if plan.is_chunked:
        return ChunkedWriter(path, plan, overwrite=overwrite)
    return Writer(path, plan, overwrite=overwrite)
