"""Writes a finished recording anew: compressed, narrowed, or for another way of reading."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from actscope.dtypes import narrowed, widened
from actscope.errors import ActscopeWarning, DataError
from actscope.store.bands import Part, decoded
from actscope.store.chunking import SAMPLE, stored_as
from actscope.store.opening import check_recording_output
from actscope.store.reader import Recording, open_recording
from actscope.store.replanning import batches_of, plan_of, read_finished
from actscope.store.schema import SAMPLES, RecordingPlan, TensorPlan
from actscope.store.writers import append_stored, open_writer

FLOATS = ("float16", "bfloat16", "float32")


def pack(
    path: str | Path,
    output: str | Path,
    *,
    codec: str | None = "zstd",
    layout: str = SAMPLE,
    dtype: str | None = None,
    overwrite: bool = False,
) -> Recording:
    """Write a finished recording anew; the one that is there stays as it is.

    Rows are compared with their checksums before they are written. What stays as it is, such as
    inputs that are compressed already, is copied without being encoded again. Where the call breaks
    off, the same call goes on from there.

    Args:
        path: a finished recording.
        output: the HDF5 file to write.
        codec: `"zstd"`, `"gzip"` which every HDF5 tool reads, or `"none"` to write rows one after
            another again.
        layout: `"sample"`, or `"channel"` for those who read one channel over all samples.
        dtype: `"float16"`, `"bfloat16"` or `"float32"`, to which floating-point activations and
            gradients are rounded; by default they stay what they are. Inputs always do.
        overwrite: whether a file at `output` may be replaced.

    Returns:
        The new recording, opened.

    Raises:
        MissingFileError: there is no such file.
        FormatError: `path` is not a recording, or is damaged; the rows before stay, to be gone on
            with.
        DataError: it is not finished, or there is no such codec, layout or dtype.
        OutputExistsError: `output` exists and `overwrite` is false.
        DiskFullError: the disk has no room.
    """
    path, output = Path(path), Path(output)
    _check(path, output, dtype)
    check_recording_output(output, overwrite=overwrite)
    structure = read_finished(path)
    plan = plan_of(structure)
    tensors = tuple(_narrowed(tensor, dtype) for tensor in plan.tensors)
    packed = stored_as(
        replace(plan, tensors=tensors, provenance=_provenance(plan, path, codec, layout, dtype)),
        codec,
        layout,
    )
    convert = [_conversion(old, new) for old, new in zip(plan.tensors, packed.tensors, strict=True)]
    overflows = 0
    with open_writer(output, packed, overwrite=overwrite) as writer:
        for batch in batches_of(path, structure, packed, start=writer.committed):
            converted = [change(rows) for change, rows in zip(convert, batch, strict=True)]
            overflows += _overflows(plan, packed, batch, converted)
            append_stored(writer, converted)
        writer.complete()
    if overflows:
        warnings.warn(
            f"{overflows:,} values are too large for float16 and were stored as infinite: use "
            "dtype='bfloat16'",
            ActscopeWarning,
            stacklevel=2,
        )
    return open_recording(output)


def _check(path: Path, output: Path, dtype: str | None) -> None:
    if dtype is not None and dtype not in FLOATS:
        raise DataError(f"dtype={dtype!r}: choose {', '.join(map(repr, FLOATS))}")
    if output.exists() and path.exists() and output.samefile(path):
        raise DataError(f"{output} is the recording itself: choose another name")


def _narrowed(tensor: TensorPlan, dtype: str | None) -> TensorPlan:
    is_float = "float" in tensor.dtype and not tensor.dtype.startswith("float8")
    if dtype is None or not is_float or tensor.group == SAMPLES:
        return tensor
    return replace(tensor, dtype=dtype)


def _conversion(old: TensorPlan, new: TensorPlan) -> Callable[[Part], Part]:
    if old.dtype == new.dtype:
        return lambda rows: rows
    return partial(_converted, old=old.dtype, new=new.dtype)


def _converted(rows: Part, old: str, new: str) -> Part:
    return narrowed(widened(decoded(rows), old), new)


def _overflows(
    plan: RecordingPlan, packed: RecordingPlan, before: list[Part], after: list[Part]
) -> int:
    """How many finite values became infinite."""
    count = 0
    for old, new, rows, converted in zip(plan.tensors, packed.tensors, before, after, strict=True):
        if new.dtype == "float16" != old.dtype:
            infinite = np.isinf(widened(decoded(rows), old.dtype)).sum()
            count += int(np.isinf(decoded(converted)).sum() - infinite)
    return count


def _provenance(
    plan: RecordingPlan, path: Path, codec: str | None, layout: str, dtype: str | None
) -> str:
    content = json.loads(plan.provenance)
    content |= {"codec": codec, "layout": layout, "packed-from": path.name}
    if dtype is not None:
        content["dtype"] = dtype
    return json.dumps(content)
