"""The datasets of a recording that have a row per sample: where they are, and what they mean.

Each is checked against what it says of itself, and all of them against each other. What passes is
plain data; rows are read elsewhere.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, pairwise
from math import prod
from typing import Any

import numpy as np

from actscope.dtypes import itemsize, raw_dtype
from actscope.store import guarded, schema
from actscope.store.chunking import grid
from actscope.store.hdf5.content import Content
from actscope.store.hdf5.groups import NOWHERE
from actscope.store.hdf5.objects import Group
from actscope.store.hdf5.types import BFLOAT16, is_numpy
from actscope.store.kept_statistics import dataset_name
from actscope.store.words import checked, words_of, words_of_layer

BYTES_PER_CHUNK = 32
"""What a chunk takes in the list of all, at least."""

MOST_EMPTY_VALUES = 2**24
"""Values in a row of a tensor that takes no bytes in the file."""


@dataclass(frozen=True)
class StoredTensor:
    """A dataset with a row per sample: where its bytes are and what they mean.

    Either its rows stand one after another from `offset` on, or they are in chunks of the shape
    `chunk`, encoded by the filters numbered in `pipeline`, whose places are listed from `offset`
    on. Where only the statistics were recorded it is not stored.
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


def stored_inputs(root: Group, samples: int) -> Iterator[StoredTensor]:
    """The inputs of the model that are stored.

    Raises:
        FormatError: one is damaged.
    """
    group = guarded.member(root, schema.SAMPLES, Group)
    name = schema.INPUT
    for position in count(1):
        if name not in group.links:
            return
        stored = guarded.tensor_dataset(group, name)
        yield _tensor(stored, words_of(stored.dataset), samples)
        name = f"{schema.INPUT}_{position}"


def stored_layers(root: Group, samples: int, statistics: dict[str, int]) -> Iterator[StoredTensor]:
    """The tensors of all layers; where the state of their statistics begins goes to the last.

    Raises:
        FormatError: one is damaged, or two groups are of the same layer.
    """
    layers = guarded.member(root, schema.LAYERS, Group)
    group_of: dict[str, str] = {}
    for name in layers.links:
        group = guarded.member(layers, name, Group)
        for tensor in tensors_of_layer(group, samples, statistics):
            if group_of.setdefault(tensor.path, name) != name:
                raise root.content.damaged(f"two groups claim to be the layer {tensor.path!r}")
            yield tensor


def tensors_of_layer(
    group: Group, samples: int, statistics: dict[str, int]
) -> Iterator[StoredTensor]:
    """The tensors of one layer, from its group; goes on as `stored_layers` does.

    Raises:
        FormatError: one is damaged, or there are none.
    """
    datasets = [name for name in group.links if schema.is_tensor_name(name)]
    kept = [name for name in group.links if schema.is_statistics_name(name)]
    if not datasets and not kept:
        raise group.content.damaged(f"{group.name} holds no output of a layer")
    for name in kept:
        found = guarded.member(group, name, Group)
        dataset = dataset_name(name)
        statistics[f"{group.name}/{dataset}"] = guarded.number(found, schema.STATE_OFFSET)
        if dataset not in datasets:
            yield _unstored(found, f"{group.name}/{dataset}")
    for name in datasets:
        stored = guarded.tensor_dataset(group, name)
        words = guarded.summary(stored.dataset)  # from version 1.2.0 on
        if words is None:
            words = words_of_layer(group, stored.dataset)
        yield _tensor(stored, words, samples)


def _unstored(group: Group, dataset: str) -> StoredTensor:
    """A tensor of which there are statistics only."""
    words = guarded.summary(group)
    if words is None:
        raise group.content.damaged(f"{group.name} does not say what it is of")
    shape = guarded.numbers(group, schema.SHAPE)
    found = checked(words, group.content, group.name)
    if len(found[schema.AXES]) != 1 + len(shape) or any(length < 0 for length in shape):
        raise group.content.damaged(
            f"{group.name} has shape {shape} and names {found[schema.AXES]}"
        )
    return StoredTensor(
        dataset=dataset, shape=shape, offset=0, is_stored=False, **_fields(found, shape)
    )


def _tensor(stored: guarded.Rows, words: Mapping[str, Any], samples: int) -> StoredTensor:
    content, name, shape = stored.dataset.content, stored.dataset.name, stored.shape
    found = checked(words, content, name)
    problem = _contradiction(stored, found, samples)
    if problem:
        raise content.damaged(f"{name} {problem}")
    return StoredTensor(
        dataset=name,
        shape=shape[1:],
        offset=stored.offset,
        chunk=stored.chunk,
        pipeline=stored.pipeline,
        **_fields(found, shape[1:]),
    )


def _contradiction(stored: guarded.Rows, found: Mapping[str, Any], samples: int) -> str:
    """What of a dataset is not as its words have it; empty where all is."""
    dtype, axes, shape = found[schema.DTYPE], found[schema.AXES], stored.shape
    kind, unreduced = stored.dataset.type, found[schema.UNREDUCED_SHAPE]
    if kind != _stored_type(dtype):
        stored_as = np.dtype(kind).name if is_numpy(kind) else kind
        return f"is stored as {stored_as}, not as its {dtype!r} demands"
    if len(axes) != len(shape) or not shape or axes[0] != schema.SAMPLE:
        return f"has {len(shape)} axes and names {axes}"
    if shape[0] != samples:
        return f"has {shape[0]} rows where /sample has {samples}"
    if found[schema.REDUCTION] == "none" and unreduced not in ((), shape[1:]):
        return f"is not reduced, and its shape was {unreduced}"
    return ""


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


@cache
def _stored_type(dtype: str) -> str:
    """What `type_name` has for the elements of a logical dtype."""
    return BFLOAT16 if dtype == BFLOAT16 else raw_dtype(dtype).str


def check_together(
    tensors: Sequence[StoredTensor], samples: int, rows: int, content: Content
) -> None:
    """Refuse tensors that cannot all be in the file.

    Args:
        tensors: all of a recording.
        samples: how many rows are planned.
        rows: how many are committed.
        content: the file.

    Raises:
        FormatError: they share bytes or chunks, or have shapes for which the file has no room.
    """
    for tensor in tensors:
        _check_room(tensor, samples, rows, content)
    placed = sorted(
        (tensor.offset, tensor.offset + samples * tensor.bytes_per_sample, tensor.dataset)
        for tensor in tensors
        if samples * tensor.bytes_per_sample and tensor.is_stored and not tensor.chunk
    )
    for (_, end, name), (start, _, other) in pairwise(placed):
        if start < end:
            raise content.damaged(f"{name} and {other} share bytes of the file: it is damaged")
    names: dict[int, str] = {}
    for tensor in tensors:
        if tensor.chunk and tensor.offset != NOWHERE:
            other = names.setdefault(tensor.offset, tensor.dataset)
            if other != tensor.dataset:
                raise content.damaged(f"{other} and {tensor.dataset} have the same chunks")


def _check_room(tensor: StoredTensor, samples: int, rows: int, content: Content) -> None:
    """Refuse a shape that could be anything, as far as the file goes: others allocate it."""
    values = prod(max(1, length) for length in tensor.shape)
    if not samples * tensor.bytes_per_sample and values > MOST_EMPTY_VALUES:
        raise content.damaged(f"{tensor.dataset} has no bytes and the shape {tensor.shape}")
    if not tensor.chunk:
        return
    # The chunks themselves are looked for when rows are read.
    needed = prod(grid((rows, *tensor.shape), tensor.chunk))
    room = 0 if tensor.offset == NOWHERE else content.size // BYTES_PER_CHUNK
    if needed > room:
        raise content.damaged(
            f"{tensor.dataset} needs {needed:,} chunks for {rows:,} rows of shape "
            f"{tensor.shape}, for which the file has no room: it is damaged"
        )
