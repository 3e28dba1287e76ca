"""Chooses how a recording is written: rows one after another, or in chunks."""

from collections.abc import Sequence
from pathlib import Path

from actscope.store.bands import Part, decoded
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


def append_stored(writer: Writer | ChunkedWriter, batch: Sequence[Part]) -> None:
    """Hand on rows of another recording, decoded where the writer cannot take chunks over."""
    if isinstance(writer, ChunkedWriter):
        writer.append(batch)
    else:
        writer.append([decoded(rows) for rows in batch])
