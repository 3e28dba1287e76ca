"""Opens parts of a file that anyone may have written, each after a look at what it is.

Nothing is followed out of the file, nothing larger than the file holds is believed, and attributes
are looked at before they are read. The library's lower level is used where files have many parts.
"""

import json
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actscope.errors import FormatError
from actscope.store import schema
from actscope.store.codecs import PIPELINES

MAXIMUM_CHUNK = 32 * 2**20
"""Bytes of a chunk, decoded; writers make none that is larger."""

UNREADABLE = (OSError, RuntimeError, ValueError, KeyError, TypeError)
"""What h5py raises for a file that is damaged."""


def _attribute(target: h5py.HLObject, name: str, path: Path) -> tuple[h5py.h5a.AttrID, str]:
    """An attribute that is there, unread, and what it is called in messages."""
    where = f"{path}: attribute {name!r} of {target.name}"
    if name not in target.attrs:
        raise FormatError(f"{where} is missing")
    return target.attrs.get_id(name), where


def text(
    target: h5py.HLObject, name: str, path: Path, limit: int = schema.MAXIMUM_ATTRIBUTE
) -> str:
    """A text attribute; its kind and extent are checked before it is read.

    Raises:
        FormatError: it is missing, or is not one text of at most `limit` bytes.
    """
    attribute, where = _attribute(target, name, path)
    kind = h5py.check_string_dtype(attribute.dtype)
    if kind is None or attribute.shape != () or attribute.get_storage_size() > limit:
        raise FormatError(f"{where} is not one text of at most {limit} bytes")
    value = target.attrs[name]
    found = value.decode() if isinstance(value, bytes) else str(value)
    if len(found) > limit:
        raise FormatError(f"{where} has {len(found)} characters, more than {limit}")
    return found


def number(target: h5py.HLObject, name: str, path: Path) -> int:
    """An attribute that is one whole number.

    Raises:
        FormatError: it is missing, or something else.
    """
    attribute, where = _attribute(target, name, path)
    if attribute.dtype.kind not in "iu" or attribute.shape != ():
        raise FormatError(f"{where} is not one whole number")
    return int(target.attrs[name])


def numbers(target: h5py.HLObject, name: str, path: Path) -> tuple[int, ...]:
    """An attribute that is a list of whole numbers, one per axis.

    Raises:
        FormatError: it is missing, or something else.
    """
    attribute, where = _attribute(target, name, path)
    few = len(attribute.shape) == 1 and attribute.shape[0] <= schema.MAXIMUM_AXES
    if attribute.dtype.kind not in "iu" or not few:
        raise FormatError(f"{where} is not a list of at most {schema.MAXIMUM_AXES} whole numbers")
    return tuple(int(value) for value in target.attrs[name])


def texts(target: h5py.HLObject, name: str, path: Path) -> tuple[str, ...]:
    """An attribute that is a list of texts, one per axis.

    Raises:
        FormatError: it is missing, or something else.
    """
    attribute, where = _attribute(target, name, path)
    few = len(attribute.shape) == 1 and attribute.shape[0] <= schema.MAXIMUM_AXES
    if h5py.check_string_dtype(attribute.dtype) is None or not few:
        raise FormatError(f"{where} is not a list of at most {schema.MAXIMUM_AXES} texts")
    return tuple(
        value.decode() if isinstance(value, bytes) else str(value) for value in target.attrs[name]
    )


def summary(dataset: h5py.HLObject, path: Path) -> dict[str, Any] | None:
    """All attributes of a dataset in one, as plain data, or None where it has no such summary.

    Raises:
        FormatError: it is not one short text that holds a JSON object.
    """
    if not h5py.h5a.exists(dataset.id, schema.SUMMARY.encode()):
        return None
    attribute = h5py.h5a.open(dataset.id, schema.SUMMARY.encode())
    kind = attribute.get_type()
    where = f"{path}: attribute {schema.SUMMARY!r} of {dataset.name}"
    fixed = isinstance(kind, h5py.h5t.TypeStringID) and not kind.is_variable_str()
    if not fixed or attribute.shape != () or kind.get_size() > schema.MAXIMUM_ATTRIBUTE:
        raise FormatError(f"{where} is not one short text of fixed length")
    content = np.empty((), f"S{kind.get_size()}")
    attribute.read(content)
    try:
        found = json.loads(content.item())
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise FormatError(f"{where} is not a JSON object")
    return found


def member(group: h5py.Group, name: str, kind: type, path: Path) -> Any:
    """A member of a group, opened only when it stands in this very file.

    Raises:
        FormatError: it is missing, a link to elsewhere, or of another kind.
    """
    where = f"{path}: {group.name.rstrip('/')}/{name}"
    encoded = name.encode()
    if encoded not in group.id:
        raise FormatError(f"{where} is missing")
    if group.id.links.get_info(encoded).type != h5py.h5l.TYPE_HARD:
        link = group.get(name, getlink=True)
        raise FormatError(f"{where} is a {type(link).__name__}, which is not followed")
    opened = h5py.h5o.open(group.id, encoded)
    found = _WRAPPERS[type(opened)](opened)
    if not isinstance(found, kind):
        raise FormatError(f"{where} is a {type(found).__name__}, not a {kind.__name__}")
    return found


def group_at(file: h5py.File, place: str, path: Path) -> h5py.Group:
    """A group by its absolute path, each part of which stands in this very file.

    Raises:
        FormatError: a part is missing, a link to elsewhere, or no group.
    """
    group: h5py.Group = file
    for name in place.strip("/").split("/"):
        group = member(group, name, h5py.Group, path)
    return group


_WRAPPERS: dict[type, Any] = {
    h5py.h5d.DatasetID: h5py.Dataset,
    h5py.h5g.GroupID: h5py.Group,
    h5py.h5t.TypeID: h5py.Datatype,
}


def tensor_at(
    file: h5py.File, place: str, path: Path
) -> tuple[h5py.Dataset, tuple[int, ...], tuple[int, ...]]:
    """What `tensor_dataset` gives for the dataset at an absolute path such as `/layers/x/output`.

    Each step is looked at by itself: HDF5 would follow a link in the middle of a path.

    Raises:
        FormatError: it is missing, stands elsewhere, or is stored in another way.
    """
    groups, _, name = place.rpartition("/")
    return tensor_dataset(group_at(file, groups, path), name, path)


def plain_dataset(group: h5py.Group, name: str, path: Path) -> h5py.Dataset:
    """A dataset whose bytes all stand in this file, one after another, as many as it declares.

    Raises:
        FormatError: it is anything else.
    """
    dataset = member(group, name, h5py.Dataset, path)
    creation = _own_creation(dataset, path)
    where = f"{path}: {dataset.name}"
    if creation.get_layout() == h5py.h5d.CHUNKED or creation.get_nfilters():
        raise FormatError(f"{where} is chunked, which it must not be")
    _check_bytes(dataset, where)
    return dataset


def plain_numbers(
    group: h5py.Group, name: str, dtype: str, length: int, path: Path
) -> tuple[int, ...]:
    """The whole numbers of a list of that length and dtype.

    Raises:
        FormatError: it is anything else.
    """
    dataset = plain_dataset(group, name, path)
    if dataset.shape != (length,) or dataset.dtype != dtype:
        raise FormatError(
            f"{path}: {dataset.name} is not a plain list of {length} numbers of type {dtype}"
        )
    return tuple(int(value) for value in dataset[:])


def _own_creation(dataset: h5py.Dataset, path: Path) -> h5py.h5p.PropDCID:
    """How a dataset was made, if it takes nothing from elsewhere."""
    creation = dataset.id.get_create_plist()
    where = f"{path}: {dataset.name}"
    if creation.get_layout() == h5py.h5d.VIRTUAL or creation.get_external_count():
        raise FormatError(f"{where} takes its data from other files, which is not followed")
    if dataset.id.rank > schema.MAXIMUM_AXES:
        raise FormatError(f"{where} has {dataset.id.rank} axes, more than {schema.MAXIMUM_AXES}")
    return creation


def _check_bytes(dataset: h5py.Dataset, where: str) -> None:
    # Not h5py's own nbytes, which counts a bfloat16 as the float32 that it is read as.
    declared = prod(dataset.id.shape or ()) * dataset.id.get_type().get_size()
    stored = dataset.id.get_storage_size()
    if declared > stored:
        raise FormatError(
            f"{where} declares {declared:,} bytes and the file stores {stored:,}: it is damaged"
        )
    offset = dataset.id.get_offset()
    size = h5py.h5i.get_file_id(dataset.id).get_filesize()
    if declared and (offset is None or offset + declared > size):
        raise FormatError(f"{where} reaches beyond the end of the file ({size:,} bytes): truncated")


def tensor_dataset(
    group: h5py.Group, name: str, path: Path
) -> tuple[h5py.Dataset, tuple[int, ...], tuple[int, ...]]:
    """A dataset with a row per sample, the shape of its chunks, and the numbers of its filters.

    Both are empty where its rows stand one after another. Chunks are looked for when rows are read:
    so nothing is believed of how many there are, and one that is missing is found missing then.

    Raises:
        FormatError: it is stored in another way.
    """
    dataset = member(group, name, h5py.Dataset, path)
    creation = _own_creation(dataset, path)
    where = f"{path}: {dataset.name}"
    pipeline = tuple(creation.get_filter(place)[0] for place in range(creation.get_nfilters()))
    if creation.get_layout() != h5py.h5d.CHUNKED:
        _check_bytes(dataset, where)
        return dataset, (), ()
    chunk = tuple(creation.get_chunk())
    if len(chunk) != dataset.id.rank or 0 in chunk:
        raise FormatError(f"{where} has {dataset.id.rank} axes and chunks of the shape {chunk}")
    stored = prod(chunk) * dataset.id.get_type().get_size()
    if stored > MAXIMUM_CHUNK:
        raise FormatError(f"{where} has chunks of {stored:,} bytes, more than {MAXIMUM_CHUNK:,}")
    if pipeline not in PIPELINES:
        raise FormatError(f"{where} is stored with the filters {pipeline}, which are not read")
    return dataset, chunk, pipeline
