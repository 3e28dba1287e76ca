"""Statistics that are kept while a recording is written, and where the file holds them.

Their state is committed together with the rows, in the slot that is good for these; what people
read is written with the last row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actscope.axes import channel_axis
from actscope.dtypes import widened
from actscope.histogram import BINS
from actscope.protocol import Array
from actscope.statistics import RunningStatistics, Statistics
from actscope.store.checksums import SLOTS
from actscope.store.schema import ACTIVATION, ENCODING_TYPE, OUTPUT, STATISTICS, TensorPlan

TOP = 9
"""How many samples of the largest values are kept for each channel."""


@dataclass(frozen=True)
class Field:
    """One dataset of the statistics of a tensor.

    Attributes:
        name: of the dataset.
        attribute: of `Statistics`.
        dtype: in which it is stored.
        axes: names of its axes.
    """

    name: str
    attribute: str
    dtype: str
    axes: tuple[str, ...]

    def shape(self, channels: int, top: int) -> tuple[int, ...]:
        """The dataset's shape."""
        lengths = {"channel": channels, "rank": top, "bin": BINS}
        return tuple(lengths[axis] for axis in self.axes)


FIELDS = (
    Field("count", "count", "<i8", ("channel",)),
    Field("mean", "mean", "<f8", ("channel",)),
    Field("variance", "variance", "<f8", ("channel",)),
    Field("minimum", "minimum", "<f8", ("channel",)),
    Field("maximum", "maximum", "<f8", ("channel",)),
    Field("zeros", "zeros", "<i8", ("channel",)),
    Field("not-finite", "not_finite", "<i8", ("channel",)),
    Field("histogram", "histogram", "<i8", ("bin",)),
    Field("top-values", "top_values", "<f8", ("rank", "channel")),
    Field("top-samples", "top_samples", "<i8", ("rank", "channel")),
)


@dataclass(frozen=True)
class StatisticsPlan:
    """The statistics of one tensor.

    Attributes:
        tensor: whose they are, whether its rows are stored or not.
        source: the place of its array in a batch.
        state_offset: where its state begins in that of all.
    """

    tensor: TensorPlan
    source: int
    state_offset: int

    @property
    def group(self) -> str:
        """Where the statistics stand in the file."""
        return f"{self.tensor.group}/{group_name(self.tensor.name)}"

    @property
    def channels(self) -> int:
        """How many channels the tensor has."""
        return channels_of(self.tensor.shape, self.tensor.axes)

    def running(self) -> RunningStatistics:
        """Statistics of which nothing is known yet."""
        return running_for(self.tensor.shape, self.tensor.axes)


def channels_of(shape: Sequence[int], axes: Sequence[str]) -> int:
    """How many channels a sample has; 1 where none of its axes holds them."""
    axis = channel_axis(axes)
    return 1 if axis is None else shape[axis]


def running_for(shape: Sequence[int], axes: Sequence[str], top: int = TOP) -> RunningStatistics:
    """Statistics of a tensor, of which nothing is known yet."""
    return RunningStatistics(shape, channel_axis(axes), top)


def group_name(dataset: str) -> str:
    """The name of the group of a dataset's statistics: `output_1` has `statistics_1`."""
    return dataset.replace(OUTPUT, STATISTICS, 1)


def dataset_name(group: str) -> str:
    """The dataset whose statistics a group of that name holds."""
    return group.replace(STATISTICS, OUTPUT, 1)


def plan_statistics(tensors: Sequence[TensorPlan]) -> tuple[StatisticsPlan, ...]:
    """The statistics of all activations among `tensors`, whose arrays make a batch."""
    plans: list[StatisticsPlan] = []
    offset = 0
    for place, tensor in enumerate(tensors):
        if tensor.attributes.get(ENCODING_TYPE) == ACTIVATION:
            plans.append(StatisticsPlan(tensor, place, offset))
            offset += plans[-1].running().nbytes
    return tuple(plans)


def state_size(plans: Sequence[StatisticsPlan]) -> int:
    """Bytes of the state of all of them."""
    if not plans:
        return 0
    return plans[-1].state_offset + plans[-1].running().nbytes


@dataclass(frozen=True)
class KeptState:
    """The state that a file holds.

    Attributes:
        slots: how many rows each of the two slots is good for.
        content: of the slot that is good for the committed rows; empty in a new recording.
    """

    slots: tuple[int, ...] = (0,) * SLOTS
    content: bytes = b""


class KeptStatistics:
    """The statistics of every tensor of a recording while its rows arrive."""

    def __init__(self, plans: Sequence[StatisticsPlan], state: bytes = b"") -> None:
        """Begin anew, or go on from what `state` gave."""
        self._plans = plans
        self._running = [plan.running() for plan in plans]
        if state:
            for plan, running in zip(plans, self._running, strict=True):
                end = plan.state_offset + running.nbytes
                running.restore(state[plan.state_offset : end])

    def update(self, batch: Sequence[Array], first: int) -> None:
        """Take in a batch whose first row is sample `first`."""
        for plan, running in zip(self._plans, self._running, strict=True):
            running.update(widened(batch[plan.source], plan.tensor.dtype), first)

    @property
    def nbytes(self) -> int:
        """Bytes of `state`."""
        return sum(running.nbytes for running in self._running)

    @property
    def state(self) -> bytes:
        """All that is known, to go on from."""
        return b"".join(running.dump() for running in self._running)

    @property
    def results(self) -> list[Statistics]:
        """The statistics of all rows so far."""
        return [running.result() for running in self._running]


def field_values(found: Statistics, field: Field) -> npt.NDArray[np.generic]:
    """One of the statistics as it is stored."""
    values: npt.NDArray[np.generic] = np.ascontiguousarray(
        getattr(found, field.attribute), field.dtype
    )
    return values
