"""Finds the input that a heat map is laid over, and turns it into what can be shown. Pure."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from actscope.errors import RenderError
from actscope.render.subject import Layer, Subject, Values, as_numbers
from actscope.store.reader import RecordedTensor

_PERCENTILES = (1, 99)


def find_input(layer: Layer, subject: Subject, given: npt.ArrayLike | None) -> Values:
    """The input of the sample: the one given, else the first stored one that looks like an image.

    Where none does, it is the first stored one that has any axis.

    Raises:
        RenderError: none was given and none is stored.
    """
    if given is not None:
        return as_numbers(given, "input")
    stored = layer.recording.inputs if isinstance(layer, RecordedTensor) else ()
    stored = tuple(tensor for tensor in stored if tensor.ndim > 1)
    if not stored:
        raise RenderError(
            f"there is no stored input to lay {subject.name or 'the array'!r} over: extract with "
            "store_inputs=True (--store-inputs), or pass the sample's input with input="
        )
    images = (tensor for tensor in stored if looks_like_image(tensor.shape[1:]))
    tensor = next(images, stored[0])
    return as_numbers(tensor[subject.position], tensor.name)


def looks_like_image(shape: Sequence[int]) -> bool:
    """Whether one sample has the shape `(H, W, 1|3|4)` or `(1|3, H, W)`."""
    return len(shape) == 3 and (shape[2] in (1, 3, 4) or shape[0] in (1, 3))


def as_picture(values: Values) -> Values:
    """An image `(H, W)`, `(H, W, 1|3|4)` or `(1|3, H, W)` as RGBA `(H, W, 4)` from 0 to 1.

    Raises:
        RenderError: it has another shape, or no pixels.
    """
    if not (values.ndim == 2 or looks_like_image(values.shape)) or values.size == 0:
        raise RenderError(
            f"an input of shape {values.shape} is no image: a heat map needs one sample's input "
            "of shape (height, width), (height, width, 1, 3 or 4) or (1 or 3, height, width)"
        )
    if values.ndim == 2:
        values = values[..., np.newaxis]
    elif values.shape[2] not in (1, 3, 4):
        values = np.moveaxis(values, 0, -1)
    picture = np.ones((*values.shape[:2], 4))
    picture[..., :3] = normalised(values[..., :3])
    if values.shape[2] == 4:
        opacity = np.nan_to_num(values[..., 3])
        picture[..., 3] = np.clip(opacity / (255 if opacity.max() > 1 else 1), 0, 1)
    return picture


def normalised(values: Values) -> Values:
    """Values from 0 to 1 for display.

    Those that fill the upper half of 0 to 1 or of 0 to 255 keep that range; others are stretched
    from their 1st to their 99th percentile. A constant becomes 0.5, what is not finite 0.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if finite.size == 0:
        return np.zeros(values.shape)
    low, high = finite.min(), finite.max()
    if low == high:
        return np.full(values.shape, 0.5)
    if low >= 0 and 0.5 < high <= 1:
        ends = (0.0, 1.0)
    elif low >= 0 and 127.5 < high <= 255:
        ends = (0.0, 255.0)
    else:
        first, last = np.percentile(finite, _PERCENTILES)
        ends = (first, last) if first < last else (low, high)
    shares: Values = (np.nan_to_num(values, posinf=0, neginf=0) - ends[0]) / (ends[1] - ends[0])
    return np.where(np.isfinite(values), shares.clip(0, 1), 0)


def shrunk(picture: Values, longest: int) -> Values:
    """An RGBA picture made smaller, so that no side has more than `longest` pixels."""
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    image = Image.fromarray((picture * 255).round().astype(np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR)) / 255
