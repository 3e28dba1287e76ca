"""What the page says and shows of one tensor, as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.axes import shape_text
from actscope.listing import size_words
from actscope.render.layout import Maps, arrange
from actscope.render.scale import finite_range, scale_for
from actscope.render.subject import take_sample
from actscope.reporting import pictures
from actscope.reporting.concerns import concerns_of
from actscope.reporting.summaries import histogram_data, number_text, summary_rows, top_data
from actscope.statistics import Statistics
from actscope.store.reader import RecordedLayer

Data = dict[str, Any]

_NOTHING = "There is nothing to draw."
_NOT_STORED = "Its values were not stored, so there are no pictures of samples."


def tensor_data(tensor: RecordedLayer, positions: Sequence[int], most: int) -> Data:
    """One tensor: what it is, its statistics, what is suspicious, and a picture per sample.

    Args:
        tensor: activations or gradients.
        positions: of the samples that are shown.
        most: pixels that a picture may have.
    """
    statistics = tensor.statistics
    quantity = "gradient" if tensor.is_gradient else "activation"
    described: Data = {
        "title": f"{quantity} {tensor.name.removeprefix(tensor.path).strip()}".strip(),
        "quantity": quantity,
        "shape": shape_text(tensor.shape[1:], str(len(tensor))),
        "axes": ", ".join(tensor.dims),
        "dtype": tensor.logical_dtype,
        "bytes": size_words(tensor),
        "statistics": summary_rows(statistics),
        "histogram": histogram_data(statistics),
        "concerns": [],
        "pictures": [],
        "without": _NOTHING if tensor.is_stored else _NOT_STORED,
        "top": [],
    }
    if 0 in tensor.shape or not positions:
        return described
    whole = _maps(tensor, positions[0])
    strength = _strength(statistics, whole)
    concerns = concerns_of(statistics, whole.noun, gradient=tensor.is_gradient)
    described["concerns"] = [asdict(concern) for concern in concerns]
    described["top"] = top_data(tensor.recording, statistics, strength, whole.noun)
    if not tensor.is_stored:
        return described
    first = _unknown_first(statistics, strength)
    described.update(_pictures(tensor, positions, pictures.kept(whole, first), most))
    return described


def _maps(tensor: RecordedLayer, position: int) -> Maps:
    if not tensor.is_stored:  # of such a layer only the channels are known
        return arrange(np.zeros(tensor.shape[1:], np.float32), tensor.dims[1:])
    subject = take_sample(tensor, position)
    return arrange(subject.values, subject.axes)


def _strength(statistics: Statistics, maps: Maps) -> npt.NDArray[np.float64]:
    """The root mean square of each channel over all samples; equal where maps have no channels."""
    if len(maps.values) != len(statistics.count):
        return np.zeros(len(maps.values))
    with np.errstate(over="ignore", invalid="ignore"):  # float64 near its limits
        return np.sqrt(statistics.mean**2 + statistics.variance)


def _unknown_first(
    statistics: Statistics, strength: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The strengths, with channels that are not finite everywhere above all others."""
    if len(strength) != len(statistics.count):
        return strength
    return np.where(statistics.not_finite > 0, np.inf, strength)


def _pictures(
    tensor: RecordedLayer, positions: Sequence[int], numbers: npt.NDArray[np.intp], most: int
) -> Data:
    """A picture of each sample, all of the same channels and in the same colours."""
    wholes = [_maps(tensor, position) for position in positions]
    shown = [pictures.only(whole, numbers) for whole in wholes]
    described = {"noun": shown[0].noun, "labels": shown[0].labels}
    if pictures.are_bars(shown[0]):
        return {**described, **_bars(wholes)}
    return {**described, **_images(wholes, shown, most)}


def _bars(wholes: Sequence[Maps]) -> Data:
    """The values of each sample, and the range of all."""
    values = np.stack([maps.values.ravel() for maps in wholes])
    words = [pictures.picture_words(maps, maps, (1, 1)) for maps in wholes]
    return {
        "kind": "bars",
        "ends": list(finite_range(values)),
        "pictures": [
            {"words": said, "values": [_value(value) for value in row]}
            for said, row in zip(words, values.tolist(), strict=True)
        ],
    }


def _images(wholes: Sequence[Maps], shown: Sequence[Maps], most: int) -> Data:
    """A picture of each sample, and where its tiles are."""
    small = [pictures.reduced(maps, most) for maps in shown]
    scale = scale_for(np.stack([few.tiles for few in small]))
    made = [pictures.draw_pixels(few.tiles, scale) for few in small]
    placed = made[0].placed
    return {
        "kind": "steps" if pictures.are_steps(shown[0]) else "maps",
        "scale": scale.kind,
        "low": number_text(scale.low),
        "high": number_text(scale.high),
        "columns": placed.columns,
        "tile": [placed.tile_height, placed.tile_width],
        "gaps": [placed.row_gap, placed.column_gap],
        "times": made[0].times,
        "numbered": made[0].numbered,
        "size": list(placed.image.shape),
        "pictures": [
            {
                "words": pictures.picture_words(whole, maps, few.block),
                "source": pictures.data_uri(pictures.png(pixels, scale)),
            }
            for whole, maps, few, pixels in zip(wholes, shown, small, made, strict=True)
        ],
    }


def _value(value: float) -> float | str:
    """A number for JSON, which has no NaN and no infinities."""
    return float(f"{value:.4g}") if isfinite(value) else str(value)
