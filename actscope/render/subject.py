"""Takes the one sample that is drawn, with what the recording says about it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.axes import channels_last
from actscope.errors import RenderError, nearest
from actscope.store.reader import RecordedLayer, RecordedTensor

Values = npt.NDArray[np.floating[Any]]

_RECURRENT = ("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional")


@dataclass(frozen=True)
class Named:
    """A plain array `(N, ...)`, channels last, with a name for the picture's title."""

    values: npt.NDArray[Any]
    name: str
    quantity: str = "activation"


Layer = RecordedTensor | Named | npt.ArrayLike


@dataclass(frozen=True)
class Subject:
    """One sample of one tensor.

    Attributes:
        values: its values without the sample axis, float32 or float64.
        axes: a name for each axis of `values`.
        position: which sample it is, from 0.
        name: the layer's name; empty for a plain array.
        class_name: the layer's class, or empty.
        sample_id: the sample's id, or empty.
        label: the sample's label as text, or empty.
        quantity: what the values are, such as `"activation"` or `"gradient"`.
        epoch: after which epoch of a training it was computed, or None.
        first: the position of that epoch's first sample; 0 without epochs.
    """

    values: Values
    axes: tuple[str, ...]
    position: int
    name: str = ""
    class_name: str = ""
    sample_id: str = ""
    label: str = ""
    quantity: str = "activation"
    epoch: int | None = None
    first: int = 0


def take_sample(layer: Layer, sample: int | str) -> Subject:
    """One sample of a recorded tensor, or of an array with the samples along its first axis.

    Raises:
        RenderError: there is no such sample, it holds no values, or they are not numbers.
    """
    if isinstance(layer, RecordedTensor):
        subject = _from_recording(layer, sample)
    elif isinstance(layer, Named):
        unnamed = _from_array(layer.values, sample)
        subject = replace(unnamed, name=layer.name, quantity=layer.quantity)
    else:
        subject = _from_array(np.asarray(layer), sample)
    if subject.values.size == 0:
        raise RenderError(
            f"{_called(subject.name)} has nothing to draw: the shape of a sample is "
            f"{subject.values.shape}"
        )
    return subject


def _from_recording(tensor: RecordedTensor, sample: int | str) -> Subject:
    recording = tensor.recording
    position = find_sample(sample, len(tensor), recording.ids, tensor.name)
    labels, epochs = recording.labels, recording.epochs
    class_name = tensor.class_name if isinstance(tensor, RecordedLayer) else ""
    epoch = None if epochs is None else int(epochs[position])
    return Subject(
        values=as_numbers(tensor[position], tensor.name),
        axes=_axes_of(tensor.dims[1:], class_name),
        position=position,
        name=tensor.name,
        class_name=class_name,
        sample_id=recording.ids[position] if recording.ids else "",
        label="" if labels is None else str(labels[position]),
        quantity="gradient" if _is_gradient(tensor) else "activation",
        epoch=epoch,
        first=0 if epoch is None else recording.rows_of_epoch(epoch).start,
    )


def _axes_of(axes: tuple[str, ...], class_name: str) -> tuple[str, ...]:
    """The axes' names; what recurrent layers go through are steps in time rather than tokens."""
    if class_name not in _RECURRENT:
        return axes
    return tuple("step" if axis == "token" else axis for axis in axes)


def _is_gradient(tensor: RecordedTensor) -> bool:
    return isinstance(tensor, RecordedLayer) and tensor.is_gradient


def _from_array(array: npt.NDArray[Any], sample: int | str) -> Subject:
    if array.ndim == 0:
        raise RenderError("a single number was given: give an array with the samples along axis 0")
    position = find_sample(sample, len(array), (), "")
    values = as_numbers(array[position], "")
    return Subject(values=values, axes=channels_last(values.ndim), position=position)


def find_sample(sample: int | str, count: int, ids: Sequence[str], name: str) -> int:
    """The position of a sample given by position, negative from the end, or by id.

    Raises:
        RenderError: there is no such sample.
    """
    if not isinstance(sample, str):
        return find_position(sample, count, "sample", name)
    if sample in ids:
        return ids.index(sample)
    if not ids:
        raise RenderError(
            f"no sample {sample!r}: the samples of {_called(name)} have no ids, "
            f"give a position from 0 to {count - 1}"
        )
    raise RenderError(f"no sample {sample!r} of {_called(name)}: {nearest(sample, ids)}")


def find_position(position: int, count: int, noun: str, name: str) -> int:
    """`position` among `count` samples or channels; negative ones count from the end.

    Raises:
        RenderError: it is not a whole number, or beyond the ends.
    """
    if not isinstance(position, int | np.integer):
        raise RenderError(f"the {noun} must be a whole number, got {position!r}")
    if not -count <= position < count:
        known = f"0 to {count - 1}" if count else "none"
        raise RenderError(
            f"no {noun} {position} of {_called(name)}: the number of {noun}s is {count} ({known})"
        )
    return int(position) % count


def as_numbers(values: npt.ArrayLike, name: str) -> Values:
    """A copy as float32, or as float64 where float32 could not hold the values.

    Raises:
        RenderError: the values are not real numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise RenderError(f"{_called(name)} holds {array.dtype}, which cannot be drawn")
    return array.astype(np.result_type(array.dtype, np.float32))


def _called(name: str) -> str:
    return repr(name) if name else "the array"
