"""Reads and checks the structure of a recording, from a file that anyone may have written.

Nothing is followed out of the file, nothing larger than the file holds is believed, and attributes
are looked at before they are read. What passes is plain data; values are read elsewhere.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from io import BytesIO
from itertools import islice, pairwise
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actscope.dtypes import STORABLE, itemsize
from actscope.errors import FormatError, MissingFileError
from actscope.protocol import Array
from actscope.store import guarded, schema
from actscope.store.coverage import check_journal
from actscope.store.findings import Finding
from actscope.store.journal import (
    Journal,
    chunks_path,
    is_journal,
    mapped,
    partial_path,
    read_journal,
)
from actscope.store.kept_statistics import dataset_name
from actscope.store.layout import type_of

MAXIMUM_MEMBERS = 1_000_000


@dataclass(frozen=True)
class StoredTensor:
    """A dataset with a row per sample: where its bytes are and what they mean.

    Either its rows stand one after another from `offset` on, or they are in chunks of the shape
    `chunk`, encoded by the filters numbered in `pipeline`. Where only the
    statistics were recorded it is not stored.
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
    is_stored: bool = True

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one row."""
        return prod(self.shape) * itemsize(self.dtype)


@dataclass(frozen=True)
class Structure:
    """What a recording holds, apart from the activations themselves.

    `samples` is how many rows are planned, and what is there so far where `is_open_ended`.
    `journal` is there while a recording in chunks is not finished. `statistics` has, for each
    dataset whose statistics are kept, where their state begins in that of all.
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
    statistics: Mapping[str, int] = field(default_factory=dict)

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
        every = (*self.inputs, *self.outputs, *self.gradients)
        return tuple(tensor for tensor in every if tensor.is_stored)


def unfinished_journal(path: Path) -> Journal | None:
    """The journal of the recording `path` where that and chunks hold committed rows, else None.

    A journal without its chunks is what is left of a recording that was finished.
    """
    if not is_journal(partial_path(path)):
        return None
    try:
        journal = read_journal(partial_path(path))
    except FormatError:
        return None
    has_rows = journal.rows > 0 and chunks_path(path, journal.generation).exists()
    return journal if has_rows else None


def check_exists(path: Path) -> None:
    """Refuse the path of a recording of which there is nothing, or nothing that can be read.

    Raises:
        MissingFileError: neither the file is there nor an unfinished recording of that name.
        FormatError: there is one, and it is damaged.
    """
    if path.exists():
        return
    if is_journal(partial_path(path)):
        journal = read_journal(partial_path(path))
        chunks = chunks_path(path, journal.generation)
        if journal.rows and chunks.exists():
            return
        if journal.rows and not path.exists():
            raise FormatError(f"{path} is not finished, and its rows are lost: {chunks} is missing")
    raise MissingFileError(f"{path} does not exist")


def read_structure(path: Path) -> Structure:
    """Read and check everything in the file but the rows.

    Where the file is not there yet, but the journal of an unfinished recording is, what that says.

    Raises:
        FormatError: the file is not a recording, is damaged, or is of a newer version.
    """
    if path.is_dir():
        raise FormatError(f"{path} is a folder, not an actscope recording")
    try:
        journal = None if path.exists() else unfinished_journal(path)
        if journal is not None:
            with suppress(FileNotFoundError):  # it was finished in between
                return read_unfinished(path, journal)
        with h5py.File(path, "r", locking="best-effort") as file:
            return _read(file, path)
    except FormatError:
        raise
    except PermissionError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error
    except guarded.UNREADABLE as error:
        raise FormatError(f"{path} is not an actscope recording: {error}") from error


def read_unfinished(path: Path, journal: Journal) -> Structure:
    """What the journal of the recording in chunks at `path` says.

    Raises:
        FormatError: the journal is damaged.
    """
    chunks = chunks_path(path, journal.generation)
    if chunks.is_symlink():
        raise FormatError(f"{chunks} is a link to another file, which is not followed")
    journal.encoded = mapped(chunks)
    with h5py.File(BytesIO(journal.skeleton), "r") as file:
        planned = _read(file, path)
    samples = journal.rows if journal.is_open_ended else planned.samples
    if journal.rows > samples:
        raise FormatError(f"{path}: {journal.rows} rows are committed of {samples}: damaged")
    check_journal(str(path), journal, planned.tensors)
    return replace(planned, rows=journal.rows, samples=samples, journal=journal)


def _read(file: h5py.File, path: Path) -> Structure:
    version = _checked_version(file, path)
    samples = _samples(file, path)
    statistics: dict[str, int] = {}
    tensors = tuple(_tensors(file, samples, path, statistics))
    inputs = tuple(_inputs(file, samples, path))
    _check_apart((*inputs, *tensors), samples, path)
    _check_once(file, (*inputs, *tensors), path)
    return Structure(
        version=version,
        rows=_rows(file, samples, path),
        samples=samples,
        provenance=guarded.text(file, schema.PROVENANCE, path, schema.MAXIMUM_PROVENANCE),
        ids=_ids(file, samples, path),
        labels=_column(file, schema.LABELS, samples, path),
        epochs=_column(file, schema.EPOCHS, samples, path),
        inputs=inputs,
        outputs=tuple(tensor for tensor in tensors if not tensor.is_gradient),
        gradients=tuple(tensor for tensor in tensors if tensor.is_gradient),
        statistics=statistics,
    )


def structure_findings(path: Path) -> list[Finding]:
    """Everything that is wrong in the file's structure, each with its place; empty if nothing is.

    Where `read_structure` ends at the first problem, this goes on with the next part.
    """
    found: list[Finding] = []
    try:
        if not path.exists():  # what there is of it is a journal
            check_exists(path)
            read_structure(path)
            return []
        with h5py.File(path, "r", locking="best-effort") as file:
            for place, part in _parts(file, path):
                try:
                    part()
                except (FormatError, *guarded.UNREADABLE) as error:
                    found.append(Finding(place, str(error).removeprefix(f"{path}: ")))
        if not found:
            read_structure(path)
    except (FormatError, *guarded.UNREADABLE) as error:
        found.append(Finding("/", str(error).removeprefix(f"{path}: ")))
    return found


def _parts(file: h5py.File, path: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every part of a recording's structure, with what reads and checks it."""
    samples = _samples(file, path)
    yield "/", lambda: _checked_version(file, path)
    yield "/", lambda: guarded.text(file, schema.PROVENANCE, path, schema.MAXIMUM_PROVENANCE)
    yield f"/{schema.ROWS}", lambda: _rows(file, samples, path)
    for name in (schema.IDS, schema.LABELS, schema.EPOCHS):
        yield f"/{schema.SAMPLES}/{name}", partial(_column, file, name, samples, path)
    yield f"/{schema.SAMPLES}/{schema.INPUT}", lambda: list(_inputs(file, samples, path))
    layers = guarded.member(file, schema.LAYERS, h5py.Group, path)
    for name in islice(layers, MAXIMUM_MEMBERS):
        place = f"/{schema.LAYERS}/{name}"
        yield place, partial(_layer_tensors, layers, name, samples, path)


def _layer_tensors(layers: h5py.Group, name: str, samples: int, path: Path) -> None:
    group = guarded.member(layers, name, h5py.Group, path)
    list(_tensors_of(group, samples, path, {}))
    for member in filter(schema.is_tensor_name, islice(group, MAXIMUM_MEMBERS)):
        dataset = guarded.member(group, member, h5py.Dataset, path)
        words = guarded.summary(dataset, path)
        own = json.loads(json.dumps(_words_of_layer(group, dataset, path)))
        if words is not None and words != own:
            raise FormatError(f"{dataset.name}: its summary is not what its attributes say")


def _check_apart(tensors: Sequence[StoredTensor], samples: int, path: Path) -> None:
    """Refuse datasets that share bytes, as one does that stands in two places."""
    placed = sorted(
        (tensor.offset, tensor.offset + samples * tensor.bytes_per_sample, tensor.dataset)
        for tensor in tensors
        if samples * tensor.bytes_per_sample and tensor.is_stored and not tensor.chunk
    )
    for (_, end, name), (start, _, other) in pairwise(placed):
        if start < end:
            raise FormatError(f"{path}: {name} and {other} share bytes of the file: it is damaged")


def _check_once(file: h5py.File, tensors: Sequence[StoredTensor], path: Path) -> None:
    """Refuse a dataset in chunks that stands in two places: hard links give it several names."""
    names: dict[int, str] = {}
    for tensor in tensors:
        if tensor.chunk:
            address = file.id.links.get_info(tensor.dataset.encode()).u
            other = names.setdefault(address, tensor.dataset)
            if other != tensor.dataset:
                raise FormatError(f"{path}: {other} and {tensor.dataset} are the same dataset")


def is_recording(path: Path) -> bool:
    """Whether the file is a recording of a version that can be read."""
    try:
        read_structure(path)
    except FormatError:
        return False
    return True


def _checked_version(file: h5py.File, path: Path) -> str:
    if schema.ENCODING_TYPE not in file.attrs or (
        guarded.text(file, schema.ENCODING_TYPE, path) != schema.ENCODING
    ):
        raise FormatError(
            f"{path} is an HDF5 file but not an actscope recording: its attribute "
            f"{schema.ENCODING_TYPE!r} is not {schema.ENCODING!r}"
        )
    version = guarded.text(file, schema.ENCODING_VERSION, path)
    schema.check_version(version, str(path))
    return version


def _samples(file: h5py.File, path: Path) -> int:
    sample = guarded.plain_dataset(file, schema.SAMPLE, path)
    if sample.ndim != 1 or sample.dtype.kind != "i":
        raise FormatError(f"{path}: /{schema.SAMPLE} is not a list of whole numbers")
    return int(sample.shape[0])


def _rows(file: h5py.File, samples: int, path: Path) -> int:
    dataset = guarded.plain_dataset(file, schema.ROWS, path)
    if dataset.shape != (1,) or dataset.dtype.kind != "i":
        raise FormatError(f"{path}: /{schema.ROWS} is not one whole number")
    rows = int(dataset[0])
    if not 0 <= rows <= samples:
        raise FormatError(f"{path}: /{schema.ROWS} is {rows}, not between 0 and {samples}")
    return rows


def _column(file: h5py.File, name: str, samples: int, path: Path) -> Array | None:
    group = guarded.member(file, schema.SAMPLES, h5py.Group, path)
    if name not in group:
        return None
    dataset = guarded.plain_dataset(group, name, path)
    if dataset.shape != (samples,) or dataset.dtype.kind not in "biufS":
        raise FormatError(f"{path}: {dataset.name} is not a plain list of {samples} entries")
    values: Array = dataset[...]
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _ids(file: h5py.File, samples: int, path: Path) -> tuple[str, ...]:
    ids = _column(file, schema.IDS, samples, path)
    return () if ids is None else tuple(str(value) for value in ids)


def _inputs(file: h5py.File, samples: int, path: Path) -> Iterator[StoredTensor]:
    group = guarded.member(file, schema.SAMPLES, h5py.Group, path)
    for position in range(MAXIMUM_MEMBERS):
        name = schema.INPUT if position == 0 else f"{schema.INPUT}_{position}"
        if name not in group:
            return
        opened = guarded.tensor_dataset(group, name, path)
        words = _words(opened[0], path, "", "")
        yield _tensor(*opened, words, samples, path)


def _tensors(
    file: h5py.File, samples: int, path: Path, statistics: dict[str, int]
) -> Iterator[StoredTensor]:
    """The tensors of all layers; where the state of their statistics begins goes to the last."""
    layers = guarded.member(file, schema.LAYERS, h5py.Group, path)
    if len(layers) > MAXIMUM_MEMBERS:
        raise FormatError(f"{path}: /{schema.LAYERS} has {len(layers):,} members, too many")
    group_of: dict[str, str] = {}
    for name in layers:
        group = guarded.member(layers, name, h5py.Group, path)
        for tensor in _tensors_of(group, samples, path, statistics):
            if group_of.setdefault(tensor.path, name) != name:
                raise FormatError(f"{path}: two groups claim to be the layer {tensor.path!r}")
            yield tensor


def _tensors_of(
    group: h5py.Group, samples: int, path: Path, statistics: dict[str, int]
) -> Iterator[StoredTensor]:
    members = list(islice(group, MAXIMUM_MEMBERS))
    datasets = [name for name in members if schema.is_tensor_name(name)]
    kept = [name for name in members if schema.is_statistics_name(name)]
    if not datasets and not kept:
        raise FormatError(f"{path}: {group.name} holds no output of a layer")
    for name in kept:
        found = guarded.member(group, name, h5py.Group, path)
        dataset = dataset_name(name)
        statistics[f"{group.name}/{dataset}"] = guarded.number(found, schema.STATE_OFFSET, path)
        if dataset not in datasets:
            yield _unstored(found, f"{group.name}/{dataset}", path)
    for name in datasets:
        opened = guarded.tensor_dataset(group, name, path)
        words = guarded.summary(opened[0], path)  # from version 1.2.0 on
        if words is None:
            words = _words_of_layer(group, opened[0], path)
        yield _tensor(*opened, words, samples, path)


def _unstored(group: h5py.Group, dataset: str, path: Path) -> StoredTensor:
    """A tensor of which there are statistics only."""
    words = guarded.summary(group, path)
    if words is None:
        raise FormatError(f"{path}: {group.name} does not say what it is of")
    shape = guarded.numbers(group, schema.SHAPE, path)
    found = _checked_words(words, f"{path}: {group.name}")
    if len(found[schema.AXES]) != 1 + len(shape) or any(length < 0 for length in shape):
        raise FormatError(f"{path}: {group.name} has shape {shape} and names {found[schema.AXES]}")
    return StoredTensor(
        dataset=dataset, shape=shape, offset=0, is_stored=False, **_fields(found, shape)
    )


def _words_of_layer(group: h5py.Group, dataset: h5py.Dataset, path: Path) -> dict[str, Any]:
    """What the attributes of a layer's group and of one of its datasets say, as in a summary."""
    layer_path = guarded.text(group, schema.PATH, path, schema.MAXIMUM_PATH)
    class_name = guarded.text(group, schema.CLASS_NAME, path, schema.MAXIMUM_PATH)
    words = _words(dataset, path, layer_path, class_name)
    for name in (schema.ORDER, schema.CALL, schema.INDEX):
        words[name] = guarded.number(dataset, name, path)
    for name in (schema.DATA_FORMAT, schema.REDUCTION):
        words[name] = guarded.text(dataset, name, path)
    if schema.UNREDUCED_SHAPE in dataset.attrs:  # from version 1.1.0 on
        words[schema.UNREDUCED_SHAPE] = guarded.numbers(dataset, schema.UNREDUCED_SHAPE, path)
    return words


def _words(dataset: h5py.Dataset, path: Path, layer: str, class_name: str) -> dict[str, Any]:
    """What the attributes say that layers and inputs have in common."""
    return {
        schema.PATH: layer,
        schema.CLASS_NAME: class_name,
        schema.ENCODING_TYPE: guarded.text(dataset, schema.ENCODING_TYPE, path),
        schema.DTYPE: guarded.text(dataset, schema.DTYPE, path),
        schema.AXES: guarded.texts(dataset, schema.AXES, path),
        schema.KEY: guarded.text(dataset, schema.KEY, path),
    }


def _tensor(
    dataset: h5py.Dataset,
    chunk: tuple[int, ...],
    pipeline: tuple[int, ...],
    words: Mapping[str, Any],
    samples: int,
    path: Path,
) -> StoredTensor:
    where = f"{path}: {dataset.name}"
    found = _checked_words(words, where)
    dtype, axes = found[schema.DTYPE], found[schema.AXES]
    shape = dataset.id.shape
    if not dataset.id.get_type().equal(_type_of(dtype)):
        raise FormatError(f"{where} is stored as {dataset.dtype}, not as its {dtype!r} demands")
    if len(axes) != len(shape) or not shape or axes[0] != schema.SAMPLE:
        raise FormatError(f"{where} has {len(shape)} axes and names {axes}")
    if shape[0] != samples:
        raise FormatError(f"{where} has {shape[0]} rows where /sample has {samples}")
    row = tuple(int(length) for length in shape[1:])
    return StoredTensor(
        dataset=dataset.name,
        shape=row,
        offset=0 if chunk else dataset.id.get_offset() or 0,
        chunk=chunk,
        pipeline=pipeline,
        **_fields(found, row),
    )


def _checked_words(words: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The words for a tensor, each of the kind that it must be."""
    found = {name: _word(words, name, kind, where) for name, kind in _KINDS.items()}
    if found[schema.ENCODING_TYPE] not in (schema.ACTIVATION, schema.GRADIENT, schema.INPUT):
        raise FormatError(f"{where} is of the unknown kind {found[schema.ENCODING_TYPE]!r}")
    if found[schema.DTYPE] not in STORABLE:
        raise FormatError(
            f"{where} has dtype {found[schema.DTYPE]!r}, which format {schema.VERSION} lacks"
        )
    return found


def _fields(found: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """The words as `StoredTensor` has them, for rows of that shape."""
    return {
        "dtype": found[schema.DTYPE],
        "axes": found[schema.AXES],
        "path": found[schema.PATH],
        "class_name": found[schema.CLASS_NAME],
        "order": found[schema.ORDER],
        "call": found[schema.CALL],
        "index": found[schema.INDEX],
        "key": found[schema.KEY],
        "data_format": found[schema.DATA_FORMAT],
        "reduction": found[schema.REDUCTION],
        "unreduced_shape": found[schema.UNREDUCED_SHAPE] or shape,
        "is_gradient": found[schema.ENCODING_TYPE] == schema.GRADIENT,
    }


_type_of = cache(type_of)

_KINDS: Mapping[str, Any] = {
    schema.PATH: "",
    schema.CLASS_NAME: "",
    schema.ENCODING_TYPE: "",
    schema.DTYPE: "",
    schema.AXES: (),
    schema.KEY: "",
    schema.ORDER: 0,
    schema.CALL: 0,
    schema.INDEX: 0,
    schema.DATA_FORMAT: "",
    schema.REDUCTION: "none",
    schema.UNREDUCED_SHAPE: (),
}
"""The words for a tensor, and what each is where it is missing."""


def _word(words: Mapping[str, Any], name: str, default: Any, where: str) -> Any:
    """One of them, of the kind that it must be."""
    value = words.get(name, default)
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        kind = str if name == schema.AXES else int
        if len(value) <= schema.MAXIMUM_AXES and all(isinstance(part, kind) for part in value):
            return tuple(value)
    elif type(value) is type(default) and len(str(value)) <= schema.MAXIMUM_PATH:
        return value
    raise FormatError(f"{where}: its {name!r} is {str(value)[:80]!r}, which it cannot be")
