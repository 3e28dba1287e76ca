"""Turns what users have - arrays, datasets, loaders, iterables - into batches of one size.

Frameworks' own containers are known by what they can do, or through `sys.modules`; none is
imported here.
"""

import hashlib
import itertools
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actscope.axes import shape_text
from actscope.errors import ActscopeWarning, DataError
from actscope.protocol import Array, InputInfo, Inputs

HASHED_ROWS = 16


@dataclass(frozen=True)
class Feed:
    """Data ready to be recorded.

    Attributes:
        samples: how many samples there are; None where that turns out at the end.
        example: the first few samples.
        batches: given a size and a first row, yields the flat inputs of one batch after another
            from that row on, each of that size but the last, which may be smaller. Can be called
            once.
        fingerprint: what tells these data from others, as far as that is cheap.
    """

    samples: int | None
    example: Inputs
    batches: Callable[[int, int], Iterator[tuple[Array, ...]]]
    fingerprint: Mapping[str, Any]

    @property
    def length(self) -> int:
        """How many samples there are, for what cannot do without.

        Raises:
            DataError: it turns out at the end only.
        """
        if self.samples is None:
            raise DataError("the data do not tell how many samples they hold: pass samples=")
        return self.samples


def open_feed(data: Any, inputs: int | None = None, samples: int | None = None) -> Feed:
    """Make a feed of `data`.

    Args:
        data: an array `(N, ...)` or anything sliced like one (a memory map, an HDF5 dataset); a
            list, tuple or dict of those for several inputs; a `keras.utils.PyDataset`, a
            `tf.data.Dataset`, a PyTorch `DataLoader`, or any iterable of batches.
        inputs: how many inputs the model has, where that is known.
        samples: how many samples to take; needed where the data cannot tell.

    Raises:
        DataError: the data are empty, of different lengths, or without end.
    """
    if samples is not None and samples < 1:
        raise DataError(f"samples={samples} takes nothing: ask for at least 1")
    if _is_array(data) or (isinstance(data, list | tuple | dict) and _all_arrays(data)):
        return _feed_arrays(_arranged(data), samples)
    if isinstance(data, list | tuple | dict) and not data:
        raise DataError("the data are empty: give one array per input of the model")
    if isinstance(data, list) and isinstance(data[0], int | float | list):
        return _feed_arrays(_arranged(np.asarray(data)), samples)
    return _feed_stream(data, inputs, samples)


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and hasattr(data, "dtype") and len(data.shape) > 0


def _all_arrays(data: Any) -> bool:
    parts = data.values() if isinstance(data, dict) else data
    return bool(data) and all(_is_array(part) for part in parts)


def _arranged(data: Any) -> Inputs:
    """Arrays or one batch as flat inputs, with how they were given."""
    if isinstance(data, Mapping):
        return Inputs(tuple(data.values()), tuple(str(name) for name in data), single=False)
    if isinstance(data, list | tuple):
        return Inputs(tuple(data), single=False)
    return Inputs((data,))


def _feed_arrays(inputs: Inputs, samples: int | None) -> Feed:
    lengths = [int(array.shape[0]) for array in inputs.arrays]
    if len(set(lengths)) > 1:
        raise DataError(f"the inputs have different lengths, {lengths}: give one row per sample")
    if samples is not None and samples > lengths[0]:
        raise DataError(f"samples={samples}, but the data hold only {lengths[0]}")
    total = lengths[0] if samples is None else samples
    if total == 0:
        raise DataError("the data hold no samples")

    def batches(size: int, first: int) -> Iterator[tuple[Array, ...]]:
        for start in range(first, total, size):
            yield _rows(inputs, start, min(start + size, total))

    example = Inputs(_rows(inputs, 0, min(HASHED_ROWS, total)), inputs.names, inputs.single)
    return Feed(total, example, batches, _fingerprint_arrays(inputs, total))


def _rows(inputs: Inputs, start: int, stop: int) -> tuple[Array, ...]:
    return tuple(to_numpy(array[start:stop]) for array in inputs.arrays)


def to_numpy(values: Any) -> Array:
    """Values as a C-contiguous NumPy array; float64 becomes float32, as in Keras's `predict`."""
    if hasattr(values, "detach"):  # a PyTorch tensor, which may live on an accelerator
        values = values.detach().cpu()
    # A memory map is read here, in the feeding thread, and not where the model waits for it.
    array = np.array(values) if isinstance(values, np.memmap) else np.asarray(values)
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise DataError(f"the data have dtype {array.dtype}: numbers are needed")
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array)


def _fingerprint_arrays(inputs: Inputs, total: int) -> dict[str, Any]:
    """Shapes, dtypes, names, and a hash of rows spread over the data."""
    positions = np.unique(np.linspace(0, total - 1, HASHED_ROWS).astype(int)).tolist()
    sampled = (part for start in positions for part in _rows(inputs, start, start + 1))
    return _fingerprint("arrays", inputs, total, sampled)


def _fingerprint(
    kind: str, inputs: Inputs, total: int | None, sampled: Iterable[Array]
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for part in sampled:
        digest.update(part.reshape(-1).view(np.uint8))
    return {
        "kind": kind,
        "samples": total,
        "names": list(inputs.names),
        "shapes": [list(array.shape[1:]) for array in inputs.arrays],
        "dtypes": [str(array.dtype) for array in inputs.arrays],
        "sampled-sha256": digest.hexdigest(),
    }


def _feed_stream(data: Any, inputs: int | None, samples: int | None) -> Feed:
    chunks = _unpacked(_chunks(data), inputs)
    first = next(chunks, None)
    if first is None:
        raise DataError("the data hold no batches")
    total = samples or _count(data, inputs, len(first))
    example = Inputs(
        tuple(array[:HASHED_ROWS] for array in first.arrays), first.names, first.single
    )

    def batches(size: int, start: int) -> Iterator[tuple[Array, ...]]:
        passed = 0
        later: Iterator[Inputs] = itertools.chain([first], chunks)
        if start and _is_py_dataset(data):
            # By Keras's contract all of its batches but the last are of one length.
            place = start // len(first)
            passed = place * len(first)
            later = _unpacked(_chunks(data, place), inputs)
        elif start:
            _tell_of_reading_past(data, start)
        return rebatch(_without(later, start - passed), size, total, start)

    fingerprint = _fingerprint(type(data).__name__, example, total, example.arrays)
    return Feed(total, example, batches, fingerprint)


def _without(chunks: Iterable[Inputs], rows: int) -> Iterator[tuple[Array, ...]]:
    """The arrays of the chunks, without their first `rows` rows."""
    for chunk in chunks:
        if rows < len(chunk):
            yield tuple(array[rows:] for array in chunk.arrays)
        rows = max(0, rows - len(chunk))


def _tell_of_reading_past(data: Any, rows: int) -> None:
    warnings.warn(
        f"going on after {rows:,} samples: a {type(data).__name__} cannot be indexed by row, so "
        "these are read again and passed over",
        ActscopeWarning,
        stacklevel=4,
    )


def _chunks(data: Any, start: int = 0) -> Iterator[Any]:
    if _is_py_dataset(data):
        return (data[position] for position in range(start, data.num_batches))
    if hasattr(data, "as_numpy_iterator"):
        return iter(data.as_numpy_iterator())
    if not isinstance(data, Iterable):
        raise DataError(
            f"cannot read samples from a {type(data).__name__}: give an array, a list or dict of "
            "arrays, a PyDataset, a tf.data.Dataset, a DataLoader, or an iterable of batches"
        )
    return iter(data)


def _is_py_dataset(data: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(data, keras.utils.PyDataset)


def _unpacked(chunks: Iterable[Any], inputs: int | None) -> Iterator[Inputs]:
    return (_unpack(chunk, inputs) for chunk in chunks)


def _unpack(chunk: Any, inputs: int | None) -> Inputs:
    """The inputs of one batch; labels and weights beside them, as in `fit`, are left out."""
    if isinstance(chunk, tuple) and len(chunk) <= 3:
        chunk = chunk[0]
    elif isinstance(chunk, list) and len(chunk) != inputs:
        # A DataLoader collates (x, y) into a list.
        chunk = chunk[0]
    arranged = _arranged(chunk)
    return Inputs(tuple(map(to_numpy, arranged.arrays)), arranged.names, arranged.single)


def _count(data: Any, inputs: int | None, first: int) -> int | None:
    """How many samples a stream holds whose first batch has `first`; None where it cannot tell."""
    if _is_py_dataset(data):
        return _count_py_dataset(data, inputs, first)
    if hasattr(data, "as_numpy_iterator"):
        if int(data.cardinality()) == -1:
            raise DataError("the dataset never ends: pass samples=")
        # A pass over the data: a dataset of batches knows their number, but not their sizes.
        return sum(len(_unpack(c, inputs)) for c in _chunks(data))
    if hasattr(data, "batch_sampler") and hasattr(data, "drop_last"):
        return _count_loader(data)
    return None


def _count_py_dataset(data: Any, inputs: int | None, first: int) -> int | None:
    batches = data.num_batches
    if not batches:
        return None
    return int((batches - 1) * first + len(_unpack(data[batches - 1], inputs)))


def _count_loader(loader: Any) -> int | None:
    try:
        drawn = len(loader.sampler)
    except (TypeError, AttributeError):
        return None
    return len(loader) * loader.batch_size if loader.drop_last else drawn


def rebatch(
    chunks: Iterable[tuple[Array, ...]], size: int, total: int | None, given: int = 0
) -> Iterator[tuple[Array, ...]]:
    """Chunks of any lengths as batches of `size` rows, until with those before `total` are given.

    Without a total, until they end.

    Raises:
        DataError: the chunks end before `total` rows.
    """
    pending: list[tuple[Array, ...]] = []
    waiting = 0
    for chunk in chunks:
        lengths = {len(array) for array in chunk}
        if len(lengths) > 1:
            raise DataError(f"a batch has inputs of different lengths, {sorted(lengths)}")
        pending.append(chunk)
        waiting += len(chunk[0])
        while waiting >= size and (total is None or given + size <= total):
            batch, rest = _split(_join(pending), size)
            yield batch
            given, waiting, pending = given + size, waiting - size, [rest]
        if total is not None and given + waiting >= total:
            break
    total = given + waiting if total is None else total
    if given + waiting < total:
        raise DataError(f"the data ended after {given + waiting} samples of {total}")
    if given < total:
        yield _split(_join(pending), total - given)[0]


def _join(chunks: Sequence[tuple[Array, ...]]) -> tuple[Array, ...]:
    if len(chunks) == 1:
        return chunks[0]
    return tuple(np.concatenate(parts) for parts in zip(*chunks, strict=True))


def _split(chunk: tuple[Array, ...], size: int) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    return tuple(part[:size] for part in chunk), tuple(part[size:] for part in chunk)


def pad(batch: Sequence[Array], size: int) -> tuple[Array, ...]:
    """A batch brought to `size` rows by repeating its last row, so that nothing is recompiled."""
    missing = size - len(batch[0])
    if missing == 0:
        return tuple(batch)
    return tuple(np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) for part in batch)


def check_inputs(declared: Sequence[InputInfo] | None, example: Inputs) -> None:
    """Refuse data that do not fit the model's declared inputs, before anything is compiled.

    Raises:
        DataError: another number of inputs, other names, or another shape.
    """
    if declared is None:
        return
    if len(declared) != len(example.arrays):
        wanted = ", ".join(f"{info.name} {shape_text(info.shape[1:])}" for info in declared)
        raise DataError(
            f"the model takes {len(declared)} inputs ({wanted}), the data have "
            f"{len(example.arrays)}: give a list or dict with one array per input"
        )
    names = [info.name for info in declared]
    if example.names and sorted(example.names) != sorted(names):
        raise DataError(f"the data are named {list(example.names)}, the model's inputs {names}")
    for position, info in enumerate(declared):
        source = example.names.index(info.name) if example.names else position
        _check_shape(info, example.arrays[source].shape)


def _check_shape(info: InputInfo, shape: tuple[int, ...]) -> None:
    fits = len(info.shape) == len(shape) and all(
        wanted in (None, got) for wanted, got in zip(info.shape[1:], shape[1:], strict=True)
    )
    if fits:
        return
    hint = "resize or reshape the data to fit"
    if info.shape[-1] == 1 and len(shape) == len(info.shape) - 1:
        hint = "add the channel axis with data[..., None]"
    elif len(shape) == len(info.shape) - 1:
        hint = "the first axis must count the samples; add it with data[None] for one sample"
    raise DataError(
        f"the input {info.name!r} takes {shape_text(info.shape[1:])}, the data have "
        f"{shape_text(shape[1:])}: {hint}"
    )
