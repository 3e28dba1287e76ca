"""Takes several samples of a layer. Pure: no drawing."""

from collections.abc import Iterator, Sequence

import numpy as np

from actscope.errors import RenderError
from actscope.render.subject import Layer, Named, Subject, find_sample, take_sample
from actscope.store.reader import RecordedTensor

Samples = int | slice | Sequence[int | str]
"""How many, from the first one on; a slice of positions; or positions and ids."""


def find_samples(layer: Layer, samples: Samples) -> tuple[int, ...]:
    """The positions of samples: the first so many, a slice, or a list of positions and ids.

    Of a count or a slice that goes beyond the last sample those that exist are taken.

    Raises:
        RenderError: there is no such sample, or none is left.
    """
    if isinstance(layer, RecordedTensor):
        name, ids, count = layer.name, layer.recording.ids, len(layer)
    else:
        values = layer.values if isinstance(layer, Named) else np.asarray(layer)
        name, ids, count = "", (), len(np.atleast_1d(values))
    return positions_of(samples, count, ids, name)


def positions_of(samples: Samples, count: int, ids: Sequence[str], name: str) -> tuple[int, ...]:
    """The positions among `count` samples; `name` is of what has them, for messages.

    Raises:
        RenderError: there is no such sample, or none is left.
    """
    if isinstance(samples, int | np.integer):
        samples = slice(max(0, samples))
    if isinstance(samples, str):
        raise RenderError(f"samples must be a count, a slice or a list, got {samples!r}")
    if isinstance(samples, slice):
        try:
            found = tuple(range(count)[samples])
        except (TypeError, ValueError) as error:  # a step of 0, or ends that are no numbers
            raise RenderError(f"samples={samples!r} cannot be taken: {error}") from error
    else:
        found = tuple(find_sample(sample, count, ids, name) for sample in samples)
    if not found:
        raise RenderError(
            f"no samples to draw: {samples!r} takes none of {count} of {name or 'the array'!r}"
        )
    return found


def take_samples(layer: Layer, positions: Sequence[int]) -> Iterator[Subject]:
    """One subject after the other, so that only one is in memory."""
    whole = layer if isinstance(layer, RecordedTensor | Named) else np.asarray(layer)
    for position in positions:
        yield take_sample(whole, position)


def tile_name(subject: Subject) -> str:
    """What a sample is called beside others: its id, or its position."""
    return subject.sample_id or str(subject.position)
