"""Opens parts of a file that anyone may have written, each after a look at what it is.

Nothing is followed out of the file, nothing larger than the file holds is believed, and what is
read is of the kind and size that a recording has there.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np

from actscope.errors import FormatError
from actscope.protocol import Array
from actscope.store import schema
from actscope.store.codecs import PIPELINES
from actscope.store.hdf5 import storage
from actscope.store.hdf5.content import Content
from actscope.store.hdf5.groups import HARD, NOWHERE
from actscope.store.hdf5.heaps import global_text
from actscope.store.hdf5.objects import Dataset, Group, Object, open_object, open_root
from actscope.store.hdf5.storage import Layout
from actscope.store.hdf5.types import TEXT, is_numpy, width_of
from actscope.store.opened import OpenedFile

MAXIMUM_CHUNK = 32 * 2**20
"""Bytes of a chunk, decoded; writers make none that is larger."""

KEPT_GROUPS = 64

_REFERENCE = 16
_Kind = TypeVar("_Kind", bound=Object)
_KINDS = {Group: "a Group", Dataset: "a Dataset", Object: "neither a Group nor a Dataset"}


@contextmanager
def open_file(path: Path, opened: OpenedFile | None = None) -> Iterator[Group]:
    """The root of a file, while this lasts.

    Args:
        path: the file.
        opened: the file that it must be, and not another that has taken its name.

    Raises:
        FormatError: it cannot be read, or is no HDF5 file of the form that recordings have.
    """
    try:
        file = path.open("rb", buffering=0)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror}") from error
    with Content(file, path) as content:
        if opened is not None and not opened.is_at(file.fileno()):
            raise FormatError(f"{path} is another file than it was: open it again")
        try:
            yield open_root(content)
        except OSError as error:
            raise FormatError(f"{path} cannot be read: {error}") from error


def open_image(content: bytes, path: Path) -> Group:
    """The root of the image of a file, of which messages speak as `path`.

    Raises:
        FormatError: it is no HDF5 file of the form that recordings have.
    """
    return open_root(Content(BytesIO(content), path))


def _attribute(target: Object, name: str) -> tuple[str, tuple[int, ...] | None, bytes, str]:
    """The type, shape and bytes of an attribute that is there, and what messages call it."""
    found = target.attribute(name)
    where = f"attribute {name!r} of {target.where}"
    if found is None:
        raise target.content.damaged(f"{where} is missing")
    return *found, where


def _text_width(kind: str) -> int | None:
    """Bytes that a text takes in an attribute; None for what is no text."""
    if kind == TEXT:
        return _REFERENCE
    return int(kind[2:]) if kind.startswith("|S") else None


def _decoded(target: Object, kind: str, data: bytes, limit: int, where: str) -> str:
    """A text of at most `limit` bytes, to which `data` leads or which it is."""
    content = target.content
    found = global_text(content, data, limit, where) if kind == TEXT else data.rstrip(b"\0")
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise content.damaged(f"{where} is not UTF-8: {error}") from error


def text(target: Object, name: str, limit: int = schema.MAXIMUM_ATTRIBUTE) -> str:
    """A text attribute; its kind and extent are looked at before it is read.

    Raises:
        FormatError: it is missing, or is not one text of at most `limit` bytes.
    """
    kind, shape, data, where = _attribute(target, name)
    width = _text_width(kind)
    if width is None or shape != () or width > limit or len(data) < width:
        raise target.content.damaged(f"{where} is not one text of at most {limit:,} bytes")
    return _decoded(target, kind, data[:width], limit, where)


def texts(target: Object, name: str) -> tuple[str, ...]:
    """An attribute that is a list of texts, one per axis.

    Raises:
        FormatError: it is missing, or something else.
    """
    kind, shape, data, where = _attribute(target, name)
    width = _text_width(kind)
    if width is None or not _is_short(shape) or len(data) < width * shape[0]:
        raise target.content.damaged(
            f"{where} is not a list of at most {schema.MAXIMUM_AXES} texts"
        )
    parts = (data[place * width : (place + 1) * width] for place in range(shape[0]))
    return tuple(_decoded(target, kind, part, schema.MAXIMUM_PATH, where) for part in parts)


def _is_short(shape: tuple[int, ...] | None) -> TypeGuard[tuple[int]]:
    """Whether that is the shape of a list of an entry per axis."""
    return shape is not None and len(shape) == 1 and shape[0] <= schema.MAXIMUM_AXES


def _whole_numbers(kind: str, data: bytes, count: int) -> tuple[int, ...] | None:
    """So many whole numbers; None where the type is another, or they are not there."""
    if not is_numpy(kind) or kind[1] not in "iu" or len(data) < width_of(kind) * count:
        return None
    return tuple(int(value) for value in np.frombuffer(data, kind, count))


def number(target: Object, name: str) -> int:
    """An attribute that is one whole number.

    Raises:
        FormatError: it is missing, or something else.
    """
    kind, shape, data, where = _attribute(target, name)
    found = _whole_numbers(kind, data, 1)
    if shape != () or found is None:
        raise target.content.damaged(f"{where} is not one whole number")
    return found[0]


def numbers(target: Object, name: str) -> tuple[int, ...]:
    """An attribute that is a list of whole numbers, one per axis.

    Raises:
        FormatError: it is missing, or something else.
    """
    kind, shape, data, where = _attribute(target, name)
    found = _whole_numbers(kind, data, shape[0]) if _is_short(shape) else None
    if found is None:
        raise target.content.damaged(
            f"{where} is not a list of at most {schema.MAXIMUM_AXES} whole numbers"
        )
    return found


def summary(target: Object) -> dict[str, Any] | None:
    """All attributes of a dataset in one, as plain data, or None where it has no such summary.

    Raises:
        FormatError: it is not one short text that holds a JSON object.
    """
    if target.attribute(schema.SUMMARY) is None:
        return None
    content = text(target, schema.SUMMARY)
    where = f"attribute {schema.SUMMARY!r} of {target.where}"
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise target.content.damaged(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise target.content.damaged(f"{where} is not a JSON object")
    return found


def member(group: Group, name: str, kind: type[_Kind]) -> _Kind:
    """A member of a group, opened only when it stands in this very file.

    Raises:
        FormatError: it is missing, a link to elsewhere, or of another kind.
    """
    path = f"{group.name}/{name}"
    link = group.links.get(name)
    if link is None:
        raise group.content.damaged(f"{path} is missing")
    if link.kind != HARD:
        raise group.content.damaged(f"{path} is a {link.kind}, which is not followed")
    found = open_object(group.content, path, link.address)
    if not isinstance(found, kind):
        raise group.content.damaged(f"{path} is {_KINDS[type(found)]}, not {_KINDS[kind]}")
    return found


def groups_of(root: Group) -> Callable[[str], Group]:
    """Opens groups by their absolute paths, and keeps a few: many stand in the same one.

    What it returns raises FormatError where a part of the path is missing, a link to elsewhere, or
    no group.
    """

    @lru_cache(maxsize=KEPT_GROUPS)
    def group_at(place: str) -> Group:
        parent, _, name = place.rpartition("/")
        return member(group_at(parent), name, Group) if name else root

    return group_at


@dataclass(frozen=True)
class Plain:
    """A dataset whose bytes all stand in this file, one after another, as many as it declares."""

    dataset: Dataset
    shape: tuple[int, ...]
    offset: int

    @property
    def dtype(self) -> np.dtype[np.generic] | None:
        """NumPy's dtype for its elements; None where it has none for them."""
        kind = self.dataset.type
        return np.dtype(kind) if is_numpy(kind) else None

    def read(self) -> Array:
        """Its values as the file has them at this moment.

        Raises:
            FormatError: NumPy has no dtype for them, or the file has become shorter.
        """
        if self.dtype is None:
            raise self.dataset.content.damaged(f"{self.dataset.name} is of {self.dataset.type}")
        values: Array = np.empty(self.shape, self.dtype)
        self.dataset.content.fill(self.offset, values)
        return values


@dataclass(frozen=True)
class Rows:
    """A dataset with a row per sample.

    Attributes:
        dataset: the dataset.
        shape: its shape, rows first.
        offset: where its rows begin, or the tree of its chunks.
        chunk: the shape of its chunks; empty where its rows stand one after another.
        pipeline: the numbers of the filters that chunks go through.
    """

    dataset: Dataset
    shape: tuple[int, ...]
    offset: int
    chunk: tuple[int, ...] = ()
    pipeline: tuple[int, ...] = ()


def plain_dataset(group: Group, name: str) -> Plain:
    """A dataset that is stored in one piece, without filters.

    Raises:
        FormatError: it is anything else.
    """
    dataset = member(group, name, Dataset)
    shape, layout = _looked_at(dataset)
    return Plain(dataset, shape, _first_byte(dataset, shape, layout))


def plain_numbers(group: Group, name: str, dtype: str, length: int) -> tuple[int, ...]:
    """The whole numbers of a list of that length and dtype.

    Raises:
        FormatError: it is anything else.
    """
    found = plain_dataset(group, name)
    if found.shape != (length,) or found.dataset.type != dtype:
        raise group.content.damaged(
            f"{found.dataset.name} is not a plain list of {length} numbers of type {dtype}"
        )
    return tuple(found.read().tolist())


def first_bytes(root: Group) -> Callable[[str], int]:
    """Tells where datasets in one piece begin, by paths such as `/layers/conv2d/output`.

    What it returns raises FormatError where a dataset is missing, stands elsewhere, or is stored in
    another way.
    """
    group_at = groups_of(root)

    def first_byte(place: str) -> int:
        group, _, name = place.rpartition("/")
        return plain_dataset(group_at(group), name).offset

    return first_byte


def _looked_at(dataset: Dataset) -> tuple[tuple[int, ...], Layout]:
    """The shape and layout of a dataset that takes nothing from elsewhere."""
    shape, layout = dataset.shape, dataset.layout
    if dataset.is_external or (layout is not None and layout.kind == storage.VIRTUAL):
        problem = "takes its data from other files, which is not followed"
    elif shape is None:
        problem = "has no shape that makes sense"
    elif len(shape) > schema.MAXIMUM_AXES:
        problem = f"has {len(shape)} axes, more than {schema.MAXIMUM_AXES}"
    elif not width_of(dataset.type):
        problem = f"is of {dataset.type}, which is not read"
    elif layout is None:
        problem = "is stored in a way that is not known"
    else:
        return shape, layout
    raise dataset.content.damaged(f"{dataset.name} {problem}")


def _first_byte(dataset: Dataset, shape: tuple[int, ...], layout: Layout) -> int:
    """Where a dataset begins that is in one piece; 0 where it has no elements."""
    size, declared = dataset.content.size, prod(shape) * width_of(dataset.type)
    stored = 0 if layout.offset == NOWHERE else layout.size
    if layout.kind != storage.CONTIGUOUS or dataset.filters != ():
        problem = f"is {layout.kind}, or has filters, which it must not"
    elif declared != stored:
        problem = f"declares {declared:,} bytes and the file stores {stored:,}: it is damaged"
    elif declared and layout.offset + declared > size:
        problem = f"reaches beyond the end of the file ({size:,} bytes): truncated"
    else:
        return layout.offset if declared else 0
    raise dataset.content.damaged(f"{dataset.name} {problem}")


def tensor_at(root: Group, place: str) -> Rows:
    """What `tensor_dataset` gives for the dataset at an absolute path such as `/layers/x/output`.

    Raises:
        FormatError: it is missing, stands elsewhere, or is stored in another way.
    """
    group, _, name = place.rpartition("/")
    return tensor_dataset(groups_of(root)(group), name)


def tensor_dataset(group: Group, name: str) -> Rows:
    """A dataset with a row per sample.

    Chunks are looked for when rows are read: so nothing is believed of how many there are, and one
    that is missing is found missing then.

    Raises:
        FormatError: it is stored in another way.
    """
    dataset = member(group, name, Dataset)
    shape, layout = _looked_at(dataset)
    if layout.kind != storage.CHUNKED:
        return Rows(dataset, shape, _first_byte(dataset, shape, layout))
    *chunk, width = layout.chunk or (0,)
    pipeline = dataset.filters
    if len(chunk) != len(shape) or 0 in chunk:
        problem = f"has {len(shape)} axes and chunks of the shape {tuple(chunk)}"
    elif width != width_of(dataset.type):
        problem = f"has elements of another size than its chunks, {width}"
    elif prod(layout.chunk) > MAXIMUM_CHUNK:
        problem = f"has chunks of {prod(layout.chunk):,} bytes, more than {MAXIMUM_CHUNK:,}"
    elif pipeline not in PIPELINES:
        problem = f"is stored with the filters {pipeline}, which are not read"
    else:
        return Rows(dataset, shape, layout.offset, tuple(chunk), pipeline)
    raise dataset.content.damaged(f"{dataset.name} {problem}")
