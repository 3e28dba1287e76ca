"""Reads and checks the structure of a recording, from a file that anyone may have written.

Nothing is followed out of the file, nothing larger than the file holds is believed, and attributes
are looked at before they are read. What passes is plain data; values are read elsewhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import islice, pairwise
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actscope.dtypes import STORABLE, itemsize
from actscope.errors import FormatError
from actscope.protocol import Array
from actscope.store import schema
from actscope.store.codecs import DEFLATE, SHUFFLE, ZSTD
from actscope.store.findings import Finding
from actscope.store.journal import (
    Journal,
    chunks_path,
    is_journal,
    mapped,
    partial_path,
    read_journal,
)
from actscope.store.layout import type_of

MAXIMUM_MEMBERS = 1_000_000
MAXIMUM_CHUNK = 64 * 2**20


@dataclass(frozen=True)
class StoredTensor:
    """A dataset with a row per sample: where its bytes are and what they mean.

    Either its rows stand one after another from `offset` on, or they are in chunks of the shape
    `chunk`, encoded by the filters numbered in `pipeline`.
    """

    dataset: str
    shape: tuple[int, ...]
    dtype: str
    axes: tuple[str, ...]
    offset: int
    path: str = ""
    class_name: str = ""
    order: int = 0
    call: int = 0
    index: int = 0
    key: str = ""
    data_format: str = ""
    reduction: str = "none"
    unreduced_shape: tuple[int, ...] = ()
    is_gradient: bool = False
    chunk: tuple[int, ...] = ()
    pipeline: tuple[int, ...] = ()

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one row."""
        return prod(self.shape) * itemsize(self.dtype)


@dataclass(frozen=True)
class Structure:
    """What a recording holds, apart from the activations themselves.

    `journal` is there while a recording in chunks is not finished. `samples` is how many rows are
    planned, and what is there so far where `is_open_ended`.
    """

    version: str
    rows: int
    samples: int
    provenance: str
    ids: tuple[str, ...]
    labels: Array | None
    epochs: Array | None
    inputs: tuple[StoredTensor, ...]
    outputs: tuple[StoredTensor, ...]
    gradients: tuple[StoredTensor, ...]
    journal: Journal | None = None

    @property
    def is_open_ended(self) -> bool:
        """Whether it is not known yet how many rows there will be."""
        return self.journal is not None and self.journal.is_open_ended

    @property
    def is_finished(self) -> bool:
        """Whether every row is there."""
        return self.rows == self.samples and self.journal is None

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """Every dataset with a row per sample."""
        return (*self.inputs, *self.outputs, *self.gradients)


def is_unfinished_in_chunks(path: Path) -> bool:
    """Whether there are committed rows of the recording `path` in a journal and chunks.

    A journal without its chunks is what is left of a recording that was finished.
    """
    if not is_journal(partial_path(path)):
        return False
    try:
        journal = read_journal(partial_path(path))
    except FormatError:
        return False
    return journal.rows > 0 and chunks_path(path, journal.generation).exists()


def read_structure(path: Path) -> Structure:
    """Read and check everything in the file but the rows.

    Where the file is not there yet, but the journal of an unfinished recording is, what that says.

    Raises:
        FormatError: the file is not a recording, is damaged, or is of a newer version.
    """
    if path.is_dir():
        raise FormatError(f"{path} is a folder, not an actscope recording")
    try:
        if not path.exists() and is_unfinished_in_chunks(path):
            return read_unfinished(path)
        with h5py.File(path, "r", locking="best-effort") as file:
            return _read(file, path)
    except FormatError:
        raise
    except PermissionError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error
    except UNREADABLE as error:
        raise FormatError(f"{path} is not an actscope recording: {error}") from error


def read_unfinished(path: Path) -> Structure:
    """What the journal of the recording in chunks at `path` says.

    Raises:
        FormatError: the journal is damaged.
    """
    journal = read_journal(partial_path(path))
    journal.encoded = mapped(chunks_path(path, journal.generation))
    with h5py.File(BytesIO(journal.skeleton), "r") as file:
        planned = _read(file, path)
    samples = journal.rows if journal.is_open_ended else planned.samples
    if journal.rows > samples:
        raise FormatError(f"{path}: {journal.rows} rows are committed of {samples}: damaged")
    return replace(planned, rows=journal.rows, samples=samples, journal=journal)


def _read(file: h5py.File, path: Path) -> Structure:
    version = _checked_version(file, path)
    samples = _samples(file, path)
    tensors = tuple(_tensors(file, samples, path))
    inputs = tuple(_inputs(file, samples, path))
    _check_apart((*inputs, *tensors), samples, path)
    return Structure(
        version=version,
        rows=_rows(file, samples, path),
        samples=samples,
        provenance=_text(file, schema.PROVENANCE, path, schema.MAXIMUM_PROVENANCE),
        ids=_ids(file, samples, path),
        labels=_column(file, schema.LABELS, samples, path),
        epochs=_column(file, schema.EPOCHS, samples, path),
        inputs=inputs,
        outputs=tuple(tensor for tensor in tensors if not tensor.is_gradient),
        gradients=tuple(tensor for tensor in tensors if tensor.is_gradient),
    )


UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError)
"""What h5py raises for a file that is damaged."""


def structure_findings(path: Path) -> list[Finding]:
    """Everything that is wrong in the file's structure, each with its place; empty if nothing is.

    Where `read_structure` ends at the first problem, this goes on with the next part.
    """
    found: list[Finding] = []
    try:
        if not path.exists():  # what there is of it is a journal
            read_structure(path)
            return []
        with h5py.File(path, "r", locking="best-effort") as file:
            for place, part in _parts(file, path):
                try:
                    part()
                except (FormatError, *UNREADABLE) as error:
                    found.append(Finding(place, str(error).removeprefix(f"{path}: ")))
        if not found:
            read_structure(path)
    except (FormatError, *UNREADABLE) as error:
        found.append(Finding("/", str(error).removeprefix(f"{path}: ")))
    return found


def _parts(file: h5py.File, path: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every part of a recording's structure, with what reads and checks it."""
    samples = _samples(file, path)
    yield "/", lambda: _checked_version(file, path)
    yield "/", lambda: _text(file, schema.PROVENANCE, path, schema.MAXIMUM_PROVENANCE)
    yield f"/{schema.ROWS}", lambda: _rows(file, samples, path)
    for name in (schema.IDS, schema.LABELS, schema.EPOCHS):
        yield f"/{schema.SAMPLES}/{name}", partial(_column, file, name, samples, path)
    yield f"/{schema.SAMPLES}/{schema.INPUT}", lambda: list(_inputs(file, samples, path))
    layers = _member(file, schema.LAYERS, h5py.Group, path)
    for name in islice(layers, MAXIMUM_MEMBERS):
        place = f"/{schema.LAYERS}/{name}"
        yield place, partial(_layer_tensors, layers, name, samples, path)


def _layer_tensors(layers: h5py.Group, name: str, samples: int, path: Path) -> None:
    list(_tensors_of(_member(layers, name, h5py.Group, path), samples, path))


def _check_apart(tensors: Sequence[StoredTensor], samples: int, path: Path) -> None:
    """Refuse datasets that share bytes, as one does that stands in two places."""
    placed = sorted(
        (tensor.offset, tensor.offset + samples * tensor.bytes_per_sample, tensor.dataset)
        for tensor in tensors
        if samples * tensor.bytes_per_sample and not tensor.chunk
    )
    for (_, end, name), (start, _, other) in pairwise(placed):
        if start < end:
            raise FormatError(f"{path}: {name} and {other} share bytes of the file: it is damaged")


def is_recording(path: Path) -> bool:
    """Whether the file is a recording of a version that can be read."""
    try:
        read_structure(path)
    except FormatError:
        return False
    return True


def _checked_version(file: h5py.File, path: Path) -> str:
    if schema.ENCODING_TYPE not in file.attrs or (
        _text(file, schema.ENCODING_TYPE, path) != schema.ENCODING
    ):
        raise FormatError(
            f"{path} is an HDF5 file but not an actscope recording: its attribute "
            f"{schema.ENCODING_TYPE!r} is not {schema.ENCODING!r}"
        )
    version = _text(file, schema.ENCODING_VERSION, path)
    schema.check_version(version, str(path))
    return version


def _attribute(target: h5py.HLObject, name: str, path: Path) -> tuple[h5py.h5a.AttrID, str]:
    """An attribute that is there, unread, and what it is called in messages."""
    where = f"{path}: attribute {name!r} of {target.name}"
    if name not in target.attrs:
        raise FormatError(f"{where} is missing")
    return target.attrs.get_id(name), where


def _text(
    target: h5py.HLObject, name: str, path: Path, limit: int = schema.MAXIMUM_ATTRIBUTE
) -> str:
    """A text attribute; its kind and extent are checked before it is read."""
    attribute, where = _attribute(target, name, path)
    kind = h5py.check_string_dtype(attribute.dtype)
    if kind is None or attribute.shape != () or attribute.get_storage_size() > limit:
        raise FormatError(f"{where} is not one text of at most {limit} bytes")
    value = target.attrs[name]
    text = value.decode() if isinstance(value, bytes) else str(value)
    if len(text) > limit:
        raise FormatError(f"{where} has {len(text)} characters, more than {limit}")
    return text


def _number(target: h5py.HLObject, name: str, path: Path) -> int:
    attribute, where = _attribute(target, name, path)
    if attribute.dtype.kind not in "iu" or attribute.shape != ():
        raise FormatError(f"{where} is not one whole number")
    return int(target.attrs[name])


def _numbers(target: h5py.HLObject, name: str, path: Path) -> tuple[int, ...]:
    attribute, where = _attribute(target, name, path)
    few = len(attribute.shape) == 1 and attribute.shape[0] <= schema.MAXIMUM_AXES
    if attribute.dtype.kind not in "iu" or not few:
        raise FormatError(f"{where} is not a list of at most {schema.MAXIMUM_AXES} whole numbers")
    return tuple(int(value) for value in target.attrs[name])


def _texts(target: h5py.HLObject, name: str, path: Path) -> tuple[str, ...]:
    attribute, where = _attribute(target, name, path)
    few = len(attribute.shape) == 1 and attribute.shape[0] <= schema.MAXIMUM_AXES
    if h5py.check_string_dtype(attribute.dtype) is None or not few:
        raise FormatError(f"{where} is not a list of at most {schema.MAXIMUM_AXES} texts")
    return tuple(
        value.decode() if isinstance(value, bytes) else str(value) for value in target.attrs[name]
    )


def _member(group: h5py.Group, name: str, kind: type, path: Path) -> Any:
    """A member of a group, opened only when it stands in this very file."""
    where = f"{path}: {group.name.rstrip('/')}/{name}"
    link = group.get(name, getlink=True)
    if link is None:
        raise FormatError(f"{where} is missing")
    if not isinstance(link, h5py.HardLink):
        raise FormatError(f"{where} is a {type(link).__name__}, which is not followed")
    member = group[name]
    if not isinstance(member, kind):
        raise FormatError(f"{where} is a {type(member).__name__}, not a {kind.__name__}")
    return member


def _dataset(group: h5py.Group, name: str, path: Path) -> h5py.Dataset:
    """A dataset whose bytes all stand in this file, one after another, as many as it declares."""
    dataset, where = _own_dataset(group, name, path)
    if dataset.chunks is not None or dataset.id.get_create_plist().get_nfilters():
        raise FormatError(f"{where} is chunked, which it must not be")
    # Not h5py's own nbytes, which counts a bfloat16 as the float32 that it is read as.
    declared = prod(dataset.shape) * dataset.id.get_type().get_size()
    if declared > dataset.id.get_storage_size():
        raise FormatError(
            f"{where} declares {declared:,} bytes and the file stores "
            f"{dataset.id.get_storage_size():,}: it is damaged"
        )
    offset = dataset.id.get_offset()
    size = h5py.h5i.get_file_id(dataset.id).get_filesize()
    if declared and (offset is None or offset + declared > size):
        raise FormatError(f"{where} reaches beyond the end of the file ({size:,} bytes): truncated")
    return dataset


def _own_dataset(group: h5py.Group, name: str, path: Path) -> tuple[h5py.Dataset, str]:
    """A dataset that takes nothing from elsewhere, and what it is called in messages."""
    dataset = _member(group, name, h5py.Dataset, path)
    where = f"{path}: {dataset.name}"
    if dataset.is_virtual or dataset.external:
        raise FormatError(f"{where} takes its data from other files, which is not followed")
    if len(dataset.shape or ()) > schema.MAXIMUM_AXES:
        raise FormatError(f"{where} has {len(dataset.shape)} axes, more than {schema.MAXIMUM_AXES}")
    return dataset, where


def _tensor_dataset(group: h5py.Group, name: str, path: Path) -> h5py.Dataset:
    """A dataset with a row per sample, in chunks or not; chunks are looked for when rows are read.

    So nothing is believed of how many there are: a chunk that is not there is found missing then,
    and no array is made before.
    """
    dataset, where = _own_dataset(group, name, path)
    if dataset.chunks is None:
        return _dataset(group, name, path)
    stored = prod(dataset.chunks) * dataset.id.get_type().get_size()
    if stored > MAXIMUM_CHUNK:
        raise FormatError(f"{where} has chunks of {stored:,} bytes, more than {MAXIMUM_CHUNK:,}")
    unknown = set(_pipeline(dataset)) - {SHUFFLE, DEFLATE, ZSTD}
    if unknown or len(_pipeline(dataset)) > 2:
        raise FormatError(f"{where} is stored with filters {_pipeline(dataset)}, which is not read")
    return dataset


def _pipeline(dataset: h5py.Dataset) -> tuple[int, ...]:
    """The numbers of its filters."""
    creation = dataset.id.get_create_plist()
    return tuple(creation.get_filter(place)[0] for place in range(creation.get_nfilters()))


def _samples(file: h5py.File, path: Path) -> int:
    sample = _dataset(file, schema.SAMPLE, path)
    if sample.ndim != 1 or sample.dtype.kind != "i":
        raise FormatError(f"{path}: /{schema.SAMPLE} is not a list of whole numbers")
    return int(sample.shape[0])


def _rows(file: h5py.File, samples: int, path: Path) -> int:
    dataset = _dataset(file, schema.ROWS, path)
    if dataset.shape != (1,) or dataset.dtype.kind != "i":
        raise FormatError(f"{path}: /{schema.ROWS} is not one whole number")
    rows = int(dataset[0])
    if not 0 <= rows <= samples:
        raise FormatError(f"{path}: /{schema.ROWS} is {rows}, not between 0 and {samples}")
    return rows


def _column(file: h5py.File, name: str, samples: int, path: Path) -> Array | None:
    group = _member(file, schema.SAMPLES, h5py.Group, path)
    if name not in group:
        return None
    dataset = _dataset(group, name, path)
    if dataset.shape != (samples,) or dataset.dtype.kind not in "biufS":
        raise FormatError(f"{path}: {dataset.name} is not a plain list of {samples} entries")
    values: Array = dataset[...]
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _ids(file: h5py.File, samples: int, path: Path) -> tuple[str, ...]:
    ids = _column(file, schema.IDS, samples, path)
    return () if ids is None else tuple(str(value) for value in ids)


def _inputs(file: h5py.File, samples: int, path: Path) -> Iterator[StoredTensor]:
    group = _member(file, schema.SAMPLES, h5py.Group, path)
    for position in range(MAXIMUM_MEMBERS):
        name = schema.INPUT if position == 0 else f"{schema.INPUT}_{position}"
        if name not in group:
            return
        dataset = _tensor_dataset(group, name, path)
        yield StoredTensor(**_stored(dataset, samples, path), key=_text(dataset, schema.KEY, path))


def _tensors(file: h5py.File, samples: int, path: Path) -> Iterator[StoredTensor]:
    layers = _member(file, schema.LAYERS, h5py.Group, path)
    if len(layers) > MAXIMUM_MEMBERS:
        raise FormatError(f"{path}: /{schema.LAYERS} has {len(layers):,} members, too many")
    seen: set[str] = set()
    for group_name in layers:
        group = _member(layers, group_name, h5py.Group, path)
        layer_path = _text(group, schema.PATH, path, schema.MAXIMUM_PATH)
        if layer_path in seen:
            raise FormatError(f"{path}: two groups claim to be the layer {layer_path!r}")
        seen.add(layer_path)
        yield from _tensors_of(group, samples, path)


def _tensors_of(group: h5py.Group, samples: int, path: Path) -> Iterator[StoredTensor]:
    layer_path = _text(group, schema.PATH, path, schema.MAXIMUM_PATH)
    class_name = _text(group, schema.CLASS_NAME, path, schema.MAXIMUM_PATH)
    for name in islice(group, MAXIMUM_MEMBERS):
        member = _member(group, name, h5py.HLObject, path)
        if isinstance(member, h5py.Dataset) and schema.AXES in member.attrs:
            dataset = _tensor_dataset(group, name, path)
            yield _tensor(dataset, samples, path, layer_path, class_name)


def _tensor(
    dataset: h5py.Dataset, samples: int, path: Path, layer_path: str, class_name: str
) -> StoredTensor:
    kind = _text(dataset, schema.ENCODING_TYPE, path)
    if kind not in (schema.ACTIVATION, schema.GRADIENT):
        raise FormatError(f"{path}: {dataset.name} is of the unknown kind {kind!r}")
    stored = _stored(dataset, samples, path)
    unreduced = stored["shape"]
    if schema.UNREDUCED_SHAPE in dataset.attrs:  # from version 1.1.0 on
        unreduced = _numbers(dataset, schema.UNREDUCED_SHAPE, path)
    return StoredTensor(
        **stored,
        path=layer_path,
        class_name=class_name,
        order=_number(dataset, schema.ORDER, path),
        call=_number(dataset, schema.CALL, path),
        index=_number(dataset, schema.INDEX, path),
        key=_text(dataset, schema.KEY, path),
        data_format=_text(dataset, schema.DATA_FORMAT, path),
        reduction=_text(dataset, schema.REDUCTION, path),
        unreduced_shape=unreduced,
        is_gradient=kind == schema.GRADIENT,
    )


def _stored(dataset: h5py.Dataset, samples: int, path: Path) -> dict[str, Any]:
    where = f"{path}: {dataset.name}"
    dtype = _text(dataset, schema.DTYPE, path)
    if dtype not in STORABLE:
        raise FormatError(f"{where} has dtype {dtype!r}, which format {schema.VERSION} lacks")
    if not dataset.id.get_type().equal(type_of(dtype)):
        raise FormatError(f"{where} is stored as {dataset.dtype}, not as its {dtype!r} demands")
    axes = _texts(dataset, schema.AXES, path)
    if len(axes) != dataset.ndim or dataset.ndim < 1 or axes[0] != schema.SAMPLE:
        raise FormatError(f"{where} has {dataset.ndim} axes and names {axes}")
    if dataset.shape[0] != samples:
        raise FormatError(f"{where} has {dataset.shape[0]} rows where /sample has {samples}")
    return {
        "dataset": dataset.name,
        "shape": tuple(int(length) for length in dataset.shape[1:]),
        "dtype": dtype,
        "axes": axes,
        "offset": 0 if dataset.chunks else dataset.id.get_offset() or 0,
        "chunk": dataset.chunks or (),
        "pipeline": _pipeline(dataset) if dataset.chunks else (),
    }
