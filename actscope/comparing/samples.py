"""Finds the samples that two recordings share, and says where they are not the same ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.errors import DataError
from actscope.store.reader import RecordedTensor, Recording

Positions = range | npt.NDArray[np.intp]

_ELEMENTS_PER_BLOCK = 2**18  # 2 MiB as float64; one sample where that holds more


_ROWS_MAPPED = 16


@dataclass(frozen=True)
class SharedSamples:
    """Which rows of two recordings belong to the same samples.

    Attributes:
        a: rows of the first recording.
        b: rows of the second one, as many.
        notes: what was left out or taken for granted.
    """

    a: Positions
    b: Positions
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.a)

    def blocks(self, a: RecordedTensor, b: RecordedTensor) -> Iterator[tuple[Any, Any]]:
        """The shared rows of two tensors side by side, a few MiB at a time."""
        step = max(1, _ELEMENTS_PER_BLOCK // max(1, prod(a.shape[1:])))
        for start in range(0, len(self), step):
            yield (
                rows_of(a, self.a[start : start + step]),
                rows_of(b, self.b[start : start + step]),
            )


def rows_of(tensor: RecordedTensor, positions: Positions, piece: slice | None = None) -> Any:
    """Some rows of a tensor, or a piece of each along their first axis.

    Nothing stays mapped, and only a few rows are at a time: a page that is read may bring as much
    as 2 MiB of its surroundings into memory.
    """
    few = [
        positions[start : start + _ROWS_MAPPED] for start in range(0, len(positions), _ROWS_MAPPED)
    ]
    if piece is None or len(few) < 2:
        return _read(tensor, positions, piece)
    return np.concatenate([_read(tensor, part, piece) for part in few])


def _read(tensor: RecordedTensor, positions: Positions, piece: slice | None) -> Any:
    rows: Any = positions
    if isinstance(positions, range):
        rows = slice(positions.start, positions.stop, positions.step)
    return tensor.unmapped()[rows if piece is None else (rows, piece)]


def shared_samples(
    a: Recording, b: Recording, *, common: bool, same_inputs: bool = True
) -> SharedSamples:
    """The samples that both recordings have.

    Args:
        a: the first recording.
        b: the second one.
        common: whether to be content with those that both have: the same ids where both have ids,
            else the first rows of both.
        same_inputs: whether the samples must have been fed alike; different models may take
            the same samples in different sizes, and are trusted when the ids agree.

    Raises:
        DataError: the samples are not the same and `common` is false, or none are shared.
    """
    problems = list(_problems(a, b, same_inputs=same_inputs))
    if problems and not common:
        raise DataError(
            f"{a.path.name} and {b.path.name} are not of the same samples: {'; '.join(problems)}. "
            "Compare what both have with common=True or --common"
        )
    if a.ids and b.ids and a.ids != b.ids:
        return _by_id(a, b)
    count = min(a.samples, b.samples)
    if count == 0:
        raise DataError(f"{a.path.name} and {b.path.name} share no samples: one has no rows yet")
    notes = tuple(
        f"{problem}: the first {count:,} rows of both were compared" for problem in problems
    )
    return SharedSamples(range(count), range(count), notes)


def _problems(a: Recording, b: Recording, *, same_inputs: bool) -> Iterator[str]:
    """What shows that the rows of two recordings are not of the same samples."""
    if a.samples != b.samples:
        yield f"{_length(a)} against {_length(b)} samples"
    elif a.ids and b.ids and a.ids != b.ids:
        first = next(row for row in range(a.samples) if a.ids[row] != b.ids[row])
        yield f"sample {first} is {a.ids[first]!r} in one and {b.ids[first]!r} in the other"
    named_alike = bool(a.ids) and a.ids == b.ids
    if (same_inputs or not named_alike) and a.planned == b.planned and not _fed_alike(a, b):
        yield "the data that were fed differ"


def _length(recording: Recording) -> str:
    return f"{recording.samples:,}" if recording.complete else recording.extent


def _fed_alike(a: Recording, b: Recording) -> bool:
    """Whether the fingerprints of the data agree; true where they cannot tell."""
    first, second = a.provenance.get("data"), b.provenance.get("data")
    if not isinstance(first, dict) or not isinstance(second, dict):
        return True
    if first.get("shapes") != second.get("shapes"):
        return False
    if first.get("kind") == second.get("kind"):
        return bool(first.get("sampled-sha256") == second.get("sampled-sha256"))
    return _stored_alike(a, b)  # hashes of arrays and of streams are of different rows


def _stored_alike(a: Recording, b: Recording) -> bool:
    """Whether the stored inputs of two recordings of the same length agree; true without any."""
    count = min(a.samples, b.samples)
    shared = SharedSamples(range(count), range(count))
    return all(
        np.array_equal(rows, others, equal_nan=True)
        for first, second in zip(a.inputs, b.inputs, strict=False)
        for rows, others in shared.blocks(first, second)
    )


def _by_id(a: Recording, b: Recording) -> SharedSamples:
    """The samples whose ids both recordings have, in the order of the first."""
    for recording in (a, b):
        if len(set(recording.ids)) < len(recording.ids):
            raise DataError(
                f"the ids of {recording.path.name} are not unique: rows cannot be paired"
            )
    row_of = {name: row for row, name in enumerate(b.ids)}
    found = [row for row, name in enumerate(a.ids) if name in row_of]
    if not found:
        raise DataError(f"{a.path.name} and {b.path.name} share no samples: no id is in both")
    rows_b = np.array([row_of[a.ids[row]] for row in found], np.intp)
    note = f"{len(found):,} samples whose ids are in both were compared"
    return SharedSamples(np.array(found, np.intp), rows_b, (note,))
