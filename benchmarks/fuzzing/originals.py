"""Small recordings of every kind, as bytes, and the rows that went in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import h5py
import numpy as np

from actscope.axes import channels_last
from actscope.protocol import Array, OutputInfo
from actscope.store import checksums, chunking, schema
from actscope.store.chunking import stored_as
from actscope.store.schema import RecordingPlan
from actscope.store.structure import read_structure
from actscope.store.writers import open_writer

NAME = "run.h5"
SAMPLES = 23
UNFINISHED = 14
BATCH = 5
BLOCK = 1500
"""Bytes of a block of checksums, so that a small recording has some."""

_INTEGERS = {"bfloat16": 2**16, "bool": 2}
_STORED = {"bfloat16": "<u2", "bool": "|u1"}


@dataclass(frozen=True)
class Original:
    """A sound recording.

    Attributes:
        name: what kind it is.
        files: the bytes of its files, by their names.
        rows: what each dataset holds, as it is stored.
        described: the same datasets' shapes and dtypes.
        spans: where rows stand in the recording itself: whatever else it holds describes them.
    """

    name: str
    files: Mapping[str, bytes]
    rows: Mapping[str, Array]
    described: Mapping[str, tuple[tuple[int, ...], str]]
    spans: tuple[tuple[int, int], ...]


@contextmanager
def small_blocks() -> Iterator[None]:
    """Blocks and chunks of a few rows, while this lasts."""
    with (
        mock.patch.object(checksums, "BLOCK_BYTES", BLOCK),
        mock.patch.object(chunking, "BLOCK_BYTES", BLOCK),
        mock.patch.object(chunking, "BAND_BYTES", 8 * BLOCK),
    ):
        yield


def originals() -> list[Original]:
    """A recording of every kind, the same ones each time."""
    plain = _plan(_layers())
    kept = replace(plain, keeps_statistics=True)
    named = _plan([_output(f"größe/{n}", (4,), n) for n in range(12)])
    chunked = partial(stored_as, layout="sample")
    open_ended = replace(
        plain, samples=0, ids=(), labels=None, is_open_ended=True, keeps_statistics=True
    )
    makers = {
        "contiguous": (plain, SAMPLES),
        "statistics": (kept, SAMPLES),
        "attributes alone": (plain, SAMPLES),
        "names beyond ASCII": (named, SAMPLES),
        "zstd": (chunked(plain, "zstd"), SAMPLES),
        "gzip, statistics": (chunked(kept, "gzip"), SAMPLES),
        "by channels": (stored_as(plain, "none", "channel"), SAMPLES),
        "unfinished": (kept, UNFINISHED),
        "unfinished, zstd": (chunked(kept, "zstd"), UNFINISHED),
        "unfinished, no codec, open-ended": (stored_as(open_ended, None, "sample"), UNFINISHED),
    }
    return [_original(name, *made) for name, made in makers.items()]


def _output(path: str, shape: tuple[int, ...], order: int, dtype: str = "float32") -> OutputInfo:
    axes = channels_last(len(shape))
    return OutputInfo(path, "Conv2D", order, 0, 0, "", shape, dtype, axes, "channels_last")


def _layers() -> list[OutputInfo]:
    return [
        _output("conv2d", (6, 6, 4), 0),
        replace(_output("conv2d", (6, 6, 4), 0), is_gradient=True),
        _output("block/dense", (5,), 1),
        _output("tokens", (7, 3), 2, "float16"),
        _output("low", (4,), 3, "bfloat16"),
        _output("mask", (2,), 4, "bool"),
    ]


def _plan(outputs: list[OutputInfo]) -> RecordingPlan:
    tensors, groups = schema.plan_layers(outputs)
    inputs = schema.plan_inputs(["image"], [(8, 8, 1)], ["float32"])
    ids = tuple(f"digit-{number}" for number in range(SAMPLES))
    labels = np.arange(SAMPLES) % 10
    origin = '{"backend": "none", "model": {"name": "small"}, "batch-size": 5}'
    return RecordingPlan(SAMPLES, (*inputs, *tensors), groups, origin, ids, labels)


def _values(plan: RecordingPlan) -> list[Array]:
    random = np.random.default_rng(0)
    rows: list[Array] = []
    for tensor in plan.tensors:
        shape = (SAMPLES, *tensor.shape)
        if tensor.dtype in _STORED:
            values = random.integers(0, _INTEGERS[tensor.dtype], shape)
            rows.append(values.astype(_STORED[tensor.dtype]))
        else:
            rows.append(random.normal(size=shape).astype(tensor.dtype))
    return rows


def _original(name: str, plan: RecordingPlan, count: int) -> Original:
    values = _values(plan)
    with TemporaryDirectory() as folder, small_blocks():
        path = Path(folder) / NAME
        with open_writer(path, plan) as writer:
            for start in range(0, count, BATCH):
                writer.append([rows[start : min(start + BATCH, count)] for rows in values])
                writer.commit()
            if count == SAMPLES:
                writer.complete()
        if name == "attributes alone":
            _leave_out_summaries(path)
        tensors = read_structure(path).tensors
        spans = [
            (tensor.offset, tensor.offset + count * tensor.bytes_per_sample)
            for tensor in tensors
            if not tensor.chunk
        ]
        files = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
    rows = {f"/{t.dataset}": v[:count] for t, v in zip(plan.tensors, values, strict=True)}
    described = {tensor.dataset: (tensor.shape, tensor.dtype) for tensor in tensors}
    return Original(name, files, rows, described, tuple(spans))


def _leave_out_summaries(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for group in file[schema.LAYERS].values():
            for dataset in group.values():
                dataset.attrs.pop(schema.SUMMARY, None)
