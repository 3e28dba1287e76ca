"""Creates the file of a recording: every group, dataset and attribute, once.

Where rows stand one after another, at full size: after this the HDF5 library never touches the file
again. Rows and their count are written at the offsets returned here, so the metadata cannot be torn
whenever the process dies. Where they are stored in chunks, the library places these.
"""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from actscope.dtypes import itemsize, raw_dtype
from actscope.histogram import EDGES
from actscope.store import schema
from actscope.store.checksums import SLOTS, plan_checksums
from actscope.store.codecs import filters
from actscope.store.kept_statistics import (
    FIELDS,
    TOP,
    StatisticsPlan,
    plan_statistics,
    state_size,
)
from actscope.store.schema import RecordingPlan, TensorPlan

LIBVER = "earliest"
"""The form of HDF5's structures that every tool reads, and the only one that the reader does."""

ALIGNMENT = 4096
"""Datasets of this many bytes or more start at a multiple of it, for direct and mapped access."""


@dataclass(frozen=True)
class Offsets:
    """Where in the file the bytes go.

    Attributes:
        rows: the count of committed rows.
        tensors: the first row of each tensor.
        slots: how many rows each slot of the checksums is good for.
        checksums: the checksums of each tensor.
        state_slots: how many rows each slot of the statistics' state is good for.
        state: the two slots of the state of the statistics.
        statistics: the fields of each tensor's statistics.
    """

    rows: int
    tensors: tuple[int, ...]
    slots: int
    checksums: tuple[int, ...]
    state_slots: int = 0
    state: int = 0
    statistics: tuple[tuple[int, ...], ...] = ()


class Surface(io.FileIO):
    """A file for the HDF5 library in which writing does not fail: it would crash when it did.

    Attributes:
        error: what went wrong first, to be raised once the library has let go.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "r+b", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of it, or note why not."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = self.error or error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Change the size, or note why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return self.tell()


def create(descriptor: int, plan: RecordingPlan) -> Offsets:
    """Lay out the recording for `plan`, with no rows committed, in an open file.

    Returns:
        Where its bytes go.

    Raises:
        OSError: the disk is full, or fails otherwise.
    """
    os.ftruncate(descriptor, 0)
    surface = Surface(descriptor)
    alignment = {"alignment_threshold": ALIGNMENT, "alignment_interval": ALIGNMENT}
    try:
        with h5py.File(surface, "w", libver=LIBVER, **alignment) as file:
            describe(file, plan)
            found = offsets(plan, lambda name: file[name].id.get_offset() or 0)
    except Exception:
        if surface.error is None:
            raise
    if surface.error is not None:
        raise surface.error
    return found


def create_chunked(surface: Surface, plan: RecordingPlan) -> h5py.File:
    """Lay out the recording for `plan` in an empty file, which stays open to take its chunks."""
    # Chunks need no alignment: they are read whole.
    file = h5py.File(surface, "w", libver=LIBVER)
    describe(file, plan)
    return file


def skeleton(plan: RecordingPlan) -> bytes:
    """The image of a file that was laid out for `plan` and holds no chunks."""
    content = io.BytesIO()
    with h5py.File(content, "w", libver=LIBVER) as file:
        describe(file, plan)
    return content.getvalue()


def describe(file: h5py.File, plan: RecordingPlan) -> None:
    """Make everything of the recording but its rows."""
    file.attrs[schema.ENCODING_TYPE] = schema.ENCODING
    file.attrs[schema.ENCODING_VERSION] = schema.VERSION
    file.attrs[schema.PROVENANCE] = plan.provenance
    rows = _zeros(file, schema.ROWS, (1,), h5py.h5t.STD_I64LE)
    rows.make_scale(schema.ROWS)  # xarray wants a scale on every axis in the file
    sample = _write_positions(file, plan.samples)
    _write_samples(file.create_group(schema.SAMPLES), plan, sample)
    _create_tensors(file, plan, sample)
    _create_checksums(file.create_group(schema.CHECKSUMS), plan)
    _create_statistics(file, plan)


def _write_positions(file: h5py.File, samples: int) -> h5py.Dataset:
    sample = _dataset(file, schema.SAMPLE, (samples,), h5py.h5t.STD_I64LE)
    sample[...] = np.arange(samples)
    sample.make_scale(schema.SAMPLE)
    return sample


def end(file: h5py.File, plan: RecordingPlan) -> None:
    """Make the parts anew that depend on the number of samples, now that `plan` knows it."""
    for tensor in plan.tensors:
        dataset = file[tensor.dataset]
        dataset.dims[0].detach_scale(file[schema.SAMPLE])
        dataset.id.set_extent((plan.samples, *tensor.shape))
    del file[schema.SAMPLE], file[schema.CHECKSUMS]
    sample = _write_positions(file, plan.samples)
    for tensor in plan.tensors:
        file[tensor.dataset].dims[0].attach_scale(sample)
    _create_checksums(file.create_group(schema.CHECKSUMS), plan)


def offsets(plan: RecordingPlan, offset: Callable[[str], int]) -> Offsets:
    """The places in a file that was laid out for `plan`.

    Args:
        plan: the recording.
        offset: where a dataset begins; 0 where it has no elements, and no place in the file.
    """
    sums = plan_checksums(plan)
    kept = statistics_of_plan(plan)
    return Offsets(
        rows=offset(schema.ROWS),
        tensors=tuple(offset(tensor.dataset) for tensor in plan.tensors),
        slots=offset(f"{schema.CHECKSUMS}/{schema.SLOTS}"),
        checksums=tuple(offset(f"{schema.CHECKSUMS}/{entry.name}") for entry in sums),
        state_slots=offset(f"{schema.STATISTICS}/{schema.SLOTS}") if kept else 0,
        state=offset(f"{schema.STATISTICS}/{schema.STATE}") if kept else 0,
        statistics=tuple(
            tuple(offset(f"{statistics.group}/{field.name}") for field in FIELDS)
            for statistics in kept
        ),
    )


def _dataset(
    group: h5py.Group, name: str, shape: tuple[int, ...], type_id: h5py.h5t.TypeID
) -> h5py.Dataset:
    """A contiguous dataset whose bytes have their place in the file at once, unfilled."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), type_id, space, creation))


def _zeros(
    group: h5py.Group, name: str, shape: tuple[int, ...], type_id: h5py.h5t.TypeID
) -> h5py.Dataset:
    """The same, filled with zeros."""
    dataset = _dataset(group, name, shape, type_id)
    # What `dataset[...] = 0` does takes three times as long, and there are many datasets.
    dataset.id.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(shape, dataset.dtype))
    return dataset


def _chunked(group: h5py.Group, plan: RecordingPlan, tensor: TensorPlan) -> h5py.Dataset:
    """A dataset in chunks, none of which is there yet."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(tensor.chunk)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_INCR)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    for stage in filters(plan.codec, itemsize(tensor.dtype)):
        # Optional, since the library has no zstd of its own; it is applied all the same.
        creation.set_filter(stage.number, h5py.h5z.FLAG_OPTIONAL, stage.values)
    shape = (plan.samples, *tensor.shape)
    longest = (h5py.h5s.UNLIMITED, *tensor.shape) if plan.is_open_ended else shape
    space = h5py.h5s.create_simple(shape, longest)
    kind = type_of(tensor.dtype)
    return h5py.Dataset(h5py.h5d.create(group.id, tensor.name.encode(), kind, space, creation))


def _write_samples(group: h5py.Group, plan: RecordingPlan, sample: h5py.Dataset) -> None:
    if plan.ids:
        _write_column(group, schema.IDS, fixed_text(plan.ids), sample)
    if plan.labels is not None:
        labels = plan.labels
        if labels.dtype.kind in "UO":
            labels = fixed_text([str(label) for label in labels])
        _write_column(group, schema.LABELS, labels, sample)
    if plan.epochs is not None:
        _write_column(group, schema.EPOCHS, plan.epochs, sample)


def _write_column(
    group: h5py.Group,
    name: str,
    values: np.ndarray,
    sample: h5py.Dataset,
) -> None:
    if values.dtype.kind == "S":
        values = values.astype(h5py.string_dtype("utf-8", values.itemsize))
    dataset = group.create_dataset(name, data=values)
    dataset.dims[0].attach_scale(sample)


def fixed_text(values: Sequence[str]) -> np.ndarray:
    """Texts as fixed-length UTF-8, as long as the longest."""
    encoded = [value.encode() for value in values]
    return np.array(encoded, dtype=f"S{max(1, *map(len, encoded))}" if encoded else "S1")


def _create_tensors(file: h5py.File, plan: RecordingPlan, sample: h5py.Dataset) -> None:
    for name in dict.fromkeys(tensor.group for tensor in plan.tensors):
        group = file.require_group(name)
        _write_attributes(group, plan.groups.get(name, {}))
        members = [tensor for tensor in plan.tensors if tensor.group == name]
        for tensor, scales in zip(members, schema.scale_names(members), strict=True):
            dataset = _create_tensor(group, plan, tensor, scales, sample)
            if name in plan.groups:
                words = schema.summary(plan.groups[name], tensor)
                dataset.attrs[schema.SUMMARY] = np.bytes_(words.encode())


def _create_tensor(
    group: h5py.Group,
    plan: RecordingPlan,
    tensor: TensorPlan,
    scales: Sequence[str],
    sample: h5py.Dataset,
) -> h5py.Dataset:
    if tensor.chunk:
        dataset = _chunked(group, plan, tensor)
    else:
        shape = (plan.samples, *tensor.shape)
        dataset = _dataset(group, tensor.name, shape, type_of(tensor.dtype))
    _write_attributes(dataset, tensor.attributes)
    dataset.attrs[schema.DTYPE] = tensor.dtype
    dataset.attrs[schema.AXES] = np.array(
        [schema.SAMPLE, *tensor.axes], dtype=h5py.string_dtype("utf-8")
    )
    dataset.dims[0].label = schema.SAMPLE
    dataset.dims[0].attach_scale(sample)
    for position, (scale, length) in enumerate(zip(scales, tensor.shape, strict=True), start=1):
        dataset.dims[position].label = tensor.axes[position - 1]
        dataset.dims[position].attach_scale(_axis(group, scale, length))
    return dataset


def _create_checksums(group: h5py.Group, plan: RecordingPlan) -> None:
    """One dataset of checksums per tensor, and the row counts of their slots, all zero."""
    _write_attributes(
        group,
        {
            schema.ENCODING_TYPE: schema.CHECKSUMS,
            schema.ENCODING_VERSION: schema.VERSION,
            schema.ALGORITHM: schema.CRC32,
        },
    )
    slots = _zeros(group, schema.SLOTS, (SLOTS,), h5py.h5t.STD_I64LE)
    slots.dims[0].attach_scale(_axis(group, schema.SLOT, SLOTS))
    lengths: list[int] = []
    for sums in plan_checksums(plan):
        if sums.entries not in lengths:
            lengths.append(sums.entries)
        scale = f"{schema.BLOCK}_{lengths.index(sums.entries)}"
        dataset = _zeros(group, sums.name, (sums.entries,), h5py.h5t.STD_U32LE)
        dataset.attrs[schema.DATASET] = sums.tensor
        dataset.attrs[schema.ROWS_PER_BLOCK] = sums.rows_per_block
        dataset.dims[0].attach_scale(_axis(group, scale, sums.entries))


def statistics_of_plan(plan: RecordingPlan) -> tuple[StatisticsPlan, ...]:
    """The statistics that a recording keeps."""
    if not plan.keeps_statistics:
        return ()
    return plan_statistics((*plan.tensors, *plan.unstored))


def _create_statistics(file: h5py.File, plan: RecordingPlan) -> None:
    """A group per tensor with its statistics, and room for the state of all; all zero."""
    kept = statistics_of_plan(plan)
    if not kept:
        return
    common = file.create_group(schema.STATISTICS)
    _write_attributes(
        common, {schema.ENCODING_TYPE: schema.STATISTICS, schema.ENCODING_VERSION: schema.VERSION}
    )
    slots = _zeros(common, schema.SLOTS, (SLOTS,), h5py.h5t.STD_I64LE)
    slots.dims[0].attach_scale(_axis(common, schema.SLOT, SLOTS))
    state = _zeros(common, schema.STATE, (SLOTS, state_size(kept)), h5py.h5t.STD_U8LE)
    state.dims[0].attach_scale(_axis(common, schema.SLOT, SLOTS))
    state.dims[1].attach_scale(_axis(common, "byte", state_size(kept)))
    edges = common.create_dataset(schema.EDGES, data=EDGES)
    edges.dims[0].attach_scale(_axis(common, "edge", len(EDGES)))
    for statistics in kept:
        _create_fields(file.require_group(statistics.group), plan, statistics)


def _create_fields(group: h5py.Group, plan: RecordingPlan, kept: StatisticsPlan) -> None:
    tensor = kept.tensor
    _write_attributes(group.parent, plan.groups[tensor.group])
    _write_attributes(
        group,
        {
            schema.ENCODING_TYPE: schema.STATISTICS,
            schema.ENCODING_VERSION: schema.VERSION,
            schema.SHAPE: tensor.shape,
            schema.STATE_OFFSET: kept.state_offset,
        },
    )
    words = schema.summary(plan.groups[tensor.group], tensor)
    group.attrs[schema.SUMMARY] = np.bytes_(words.encode())
    scales: dict[str, h5py.Dataset] = {}
    for field in FIELDS:
        shape = field.shape(kept.channels, TOP)
        kind = h5py.h5t.py_create(np.dtype(field.dtype))
        dataset = _zeros(group, field.name, shape, kind)
        for place, (axis, length) in enumerate(zip(field.axes, shape, strict=True)):
            if axis not in scales:
                scales[axis] = _axis(group, axis, length)
            dataset.dims[place].label = axis
            dataset.dims[place].attach_scale(scales[axis])


def _axis(group: h5py.Group, name: str, length: int) -> h5py.Dataset:
    """The scale of an axis without coordinate values: nothing but its name and length."""
    if name in group:
        return group[name]
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    creation.set_obj_track_times(False)
    space = h5py.h5s.create_simple((length,))
    scale = h5py.Dataset(
        h5py.h5d.create(group.id, name.encode(), h5py.h5t.IEEE_F32BE, space, creation)
    )
    scale.make_scale(schema.DIMENSION_WITHOUT_VARIABLE.format(length))
    return scale


def _write_attributes(target: h5py.HLObject, attributes: Mapping[str, schema.Attribute]) -> None:
    for name, value in attributes.items():
        target.attrs[name] = np.array(value, np.int64) if isinstance(value, tuple) else value


def type_of(dtype: str) -> h5py.h5t.TypeID:
    """The HDF5 type in which a logical dtype is stored; bfloat16 is a custom 16-bit float."""
    if dtype == "bfloat16":
        custom = h5py.h5t.IEEE_F32LE.copy()
        custom.set_fields(15, 7, 8, 0, 7)
        custom.set_size(2)
        custom.set_ebias(127)
        return custom
    return h5py.h5t.py_create(raw_dtype(dtype))
