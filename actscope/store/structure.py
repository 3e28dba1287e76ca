"""Reads and checks the structure of a recording, from a file that anyone may have written.

Nothing is followed out of the file, nothing larger than the file holds is believed, and attributes
are looked at before they are read. What passes is plain data; values are read elsewhere.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from actscope.errors import FormatError, MissingFileError
from actscope.protocol import Array
from actscope.store import guarded, schema
from actscope.store.coverage import check_journal
from actscope.store.findings import Finding, finding
from actscope.store.hdf5.objects import Dataset, Group
from actscope.store.journal import (
    Journal,
    chunks_path,
    is_journal,
    mapped,
    partial_path,
    read_journal,
)
from actscope.store.opened import OpenedFile
from actscope.store.stored_tensors import (
    StoredTensor,
    check_together,
    stored_inputs,
    stored_layers,
    tensors_of_layer,
)
from actscope.store.words import checked_origin, words_of_layer

MOST_FINDINGS = 1000


@dataclass(frozen=True)
class Structure:
    """What a recording holds, apart from the activations themselves.

    `name` is what messages call it, and `file` holds the rows. `samples` is how many rows are
    planned, and what is there so far where `is_open_ended`. `origin` is the provenance, parsed.
    `journal` is there while a recording in chunks is not finished. `statistics` has, for each
    dataset whose statistics are kept, where their state begins in that of all.
    """

    name: str
    file: OpenedFile
    version: str
    rows: int
    samples: int
    provenance: str
    origin: Mapping[str, Any]
    stored_ids: Array | None
    stored_labels: Array | None
    epochs: Array | None
    inputs: tuple[StoredTensor, ...]
    outputs: tuple[StoredTensor, ...]
    gradients: tuple[StoredTensor, ...]
    journal: Journal | None = None
    statistics: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """A name for each sample; empty where they have none."""
        return () if self.stored_ids is None else tuple(self._texts(schema.IDS, self.stored_ids))

    @cached_property
    def labels(self) -> Array | None:
        """A number or text for each sample, or None."""
        labels = self.stored_labels
        if labels is None or labels.dtype.kind != "S":
            return labels
        return np.array(self._texts(schema.LABELS, labels))

    def _texts(self, name: str, values: Array) -> list[str]:
        try:
            return [value.decode() for value in values.tolist()]
        except UnicodeDecodeError as error:
            where = f"{self.name}: /{schema.SAMPLES}/{name}"
            raise FormatError(f"{where} is not UTF-8: {error}") from error

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
    _check_is_file(path)
    journal = None if path.exists() else unfinished_journal(path)
    if journal is not None:
        with suppress(FileNotFoundError):  # it was finished in between
            return read_unfinished(path, journal)
    file = OpenedFile(path)
    with guarded.open_file(path, file) as root:
        return _read(root, file)


def _check_is_file(path: Path) -> None:
    """Refuse what can be opened and is no file: reading a pipe would wait for ever."""
    if path.is_dir():
        raise FormatError(f"{path} is a folder, not an actscope recording")
    if path.exists() and not path.is_file():
        raise FormatError(f"{path} is not a file")


def read_unfinished(path: Path, journal: Journal) -> Structure:
    """What the journal of the recording in chunks at `path` says.

    Raises:
        FormatError: the journal is damaged.
    """
    chunks = chunks_path(path, journal.generation)
    if chunks.is_symlink():
        raise FormatError(f"{chunks} is a link to another file, which is not followed")
    journal.encoded = mapped(chunks)
    planned = _read(guarded.open_image(journal.skeleton, path), OpenedFile(chunks))
    samples = journal.rows if journal.is_open_ended else planned.samples
    if journal.rows > samples:
        raise FormatError(f"{path}: {journal.rows} rows are committed of {samples}: damaged")
    check_journal(str(path), journal, planned.tensors)
    return replace(planned, rows=journal.rows, samples=samples, journal=journal)


def _read(root: Group, file: OpenedFile) -> Structure:
    version = _checked_version(root)
    samples = _samples(root)
    statistics: dict[str, int] = {}
    tensors = tuple(stored_layers(root, samples, statistics))
    inputs = tuple(stored_inputs(root, samples))
    rows = _rows(root, samples)
    check_together((*inputs, *tensors), samples, rows, root.content)
    provenance, origin = _origin(root)
    return Structure(
        name=root.content.name,
        file=file,
        version=version,
        rows=rows,
        samples=samples,
        provenance=provenance,
        origin=origin,
        stored_ids=_column(root, schema.IDS, samples),
        stored_labels=_column(root, schema.LABELS, samples),
        epochs=_column(root, schema.EPOCHS, samples),
        inputs=inputs,
        outputs=tuple(tensor for tensor in tensors if not tensor.is_gradient),
        gradients=tuple(tensor for tensor in tensors if tensor.is_gradient),
        statistics=statistics,
    )


def structure_findings(path: Path) -> list[Finding]:
    """What is wrong in the file's structure, each with its place; empty if nothing is.

    Where `read_structure` ends at the first problem, this goes on with the next part, until it has
    found `MOST_FINDINGS`.
    """
    found: list[Finding] = []
    try:
        if path.exists():  # else what there is of it is a journal
            _check_is_file(path)
            with guarded.open_file(path) as root:
                found += islice(_findings(root), MOST_FINDINGS)
        if not found:
            structure = read_structure(path)
            _ = structure.ids, structure.labels
    except FormatError as error:
        found.append(finding("/", error, path))
    return found


def _findings(root: Group) -> Iterator[Finding]:
    for place, part in _parts(root):
        try:
            part()
        except FormatError as error:
            yield finding(place, error, root.content.name)


def _parts(root: Group) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Every part of a recording's structure, with what reads and checks it."""
    samples = _samples(root)
    yield "/", lambda: _checked_version(root)
    yield "/", lambda: _origin(root)
    yield f"/{schema.ROWS}", lambda: _rows(root, samples)
    for name in (schema.IDS, schema.LABELS, schema.EPOCHS):
        yield f"/{schema.SAMPLES}/{name}", partial(_column, root, name, samples)
    yield f"/{schema.SAMPLES}/{schema.INPUT}", lambda: list(stored_inputs(root, samples))
    layers = guarded.member(root, schema.LAYERS, Group)
    for name in layers.links:
        place = f"/{schema.LAYERS}/{name}"
        yield place, partial(_layer_tensors, layers, name, samples)


def _layer_tensors(layers: Group, name: str, samples: int) -> None:
    group = guarded.member(layers, name, Group)
    list(tensors_of_layer(group, samples, {}))
    for member in filter(schema.is_tensor_name, group.links):
        dataset = guarded.member(group, member, Dataset)
        words = guarded.summary(dataset)
        own = json.loads(json.dumps(words_of_layer(group, dataset)))
        if words is not None and words != own:
            raise group.content.damaged(
                f"{dataset.name}: its summary is not what its attributes say"
            )


def is_recording(path: Path) -> bool:
    """Whether the file is a recording of a version that can be read."""
    try:
        read_structure(path)
    except FormatError:
        return False
    return True


def _checked_version(root: Group) -> str:
    if root.attribute(schema.ENCODING_TYPE) is None or (
        guarded.text(root, schema.ENCODING_TYPE) != schema.ENCODING
    ):
        raise FormatError(
            f"{root.content.name} is an HDF5 file but not an actscope recording: its attribute "
            f"{schema.ENCODING_TYPE!r} is not {schema.ENCODING!r}"
        )
    version = guarded.text(root, schema.ENCODING_VERSION)
    schema.check_version(version, root.content.name)
    return version


def _origin(root: Group) -> tuple[str, dict[str, Any]]:
    """The provenance, as text and parsed."""
    text = guarded.text(root, schema.PROVENANCE, schema.MAXIMUM_PROVENANCE)
    return text, checked_origin(text, root.content)


def _samples(root: Group) -> int:
    sample = guarded.plain_dataset(root, schema.SAMPLE)
    if len(sample.shape) != 1 or sample.dataset.type != "<i8":
        raise root.content.damaged(f"/{schema.SAMPLE} is not a list of whole numbers")
    return sample.shape[0]


def _rows(root: Group, samples: int) -> int:
    (rows,) = guarded.plain_numbers(root, schema.ROWS, "<i8", 1)
    if not 0 <= rows <= samples:
        raise root.content.damaged(f"/{schema.ROWS} is {rows}, not between 0 and {samples}")
    return rows


def _column(root: Group, name: str, samples: int) -> Array | None:
    group = guarded.member(root, schema.SAMPLES, Group)
    if name not in group.links:
        return None
    column = guarded.plain_dataset(group, name)
    if column.shape != (samples,) or column.dtype is None:
        raise root.content.damaged(
            f"{column.dataset.name} is not a plain list of {samples} entries"
        )
    return column.read()
