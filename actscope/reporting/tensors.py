"""What the page says and shows of one tensor, as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.axes import shape_text
from actscope.progress import readable_bytes
from actscope.render.layout import Maps, arrange
from actscope.render.scale import scale_for
from actscope.render.subject import take_sample
from actscope.reporting import pictures
from actscope.reporting.concerns import concerns_of
from actscope.reporting.summaries import histogram_data, number_text, summary_rows, top_data
from actscope.statistics import Statistics, statistics_of
from actscope.store.reader import RecordedLayer

Data = dict[str, Any]


def tensor_data(tensor: RecordedLayer, positions: Sequence[int], most: int) -> Data:
    """One tensor: what it is, its statistics, what is suspicious, and a picture per sample.

    Args:
        tensor: activations or gradients.
        positions: of the samples that are shown.
        most: pixels that a picture may have.
    """
    statistics = statistics_of(tensor)
    quantity = "gradient" if tensor.is_gradient else "activation"
    described: Data = {
        "title": f"{quantity} {tensor.name.removeprefix(tensor.path).strip()}".strip(),
        "quantity": quantity,
        "shape": shape_text(tensor.shape[1:], str(len(tensor))),
        "axes": ", ".join(tensor.dims),
        "dtype": tensor.logical_dtype,
        "bytes": readable_bytes(tensor.nbytes),
        "statistics": summary_rows(statistics),
        "histogram": histogram_data(statistics),
        "concerns": [],
        "pictures": [],
        "top": [],
    }
    if 0 in tensor.shape or not positions:
        return described
    whole = _maps(tensor, positions[0])
    strength = _strength(statistics, whole)
    described["concerns"] = [asdict(concern) for concern in concerns_of(statistics, whole.noun)]
    described["top"] = top_data(tensor.recording, statistics, strength, whole.noun)
    described.update(_pictures(tensor, positions, pictures.kept(whole, strength), most))
    return described


def _maps(tensor: RecordedLayer, position: int) -> Maps:
    subject = take_sample(tensor, position)
    return arrange(subject.values, subject.axes)


def _strength(statistics: Statistics, maps: Maps) -> npt.NDArray[np.float64]:
    """The root mean square of each channel over all samples; equal where maps have no channels."""
    if len(maps.values) != len(statistics.count):
        return np.zeros(len(maps.values))
    return np.sqrt(statistics.mean**2 + statistics.variance)


def _pictures(
    tensor: RecordedLayer, positions: Sequence[int], numbers: npt.NDArray[np.intp], most: int
) -> Data:
    """A picture of each sample, all of the same channels and in the same colours."""
    wholes = [_maps(tensor, position) for position in positions]
    shown = [pictures.only(whole, numbers) for whole in wholes]
    scale = scale_for(np.stack([maps.values for maps in shown]))
    described: Data = {
        "scale": scale.kind,
        "low": number_text(scale.low),
        "high": number_text(scale.high),
        "noun": shown[0].noun,
        "labels": shown[0].labels,
    }
    if pictures.are_bars(shown[0]):
        words = [pictures.picture_words(whole, whole, (1, 1)) for whole in wholes]
        values = [[_value(value) for value in maps.values.ravel().tolist()] for maps in shown]
        drawn = [{"words": said, "values": row} for said, row in zip(words, values, strict=True)]
        return {**described, "kind": "bars", "ends": [scale.low, scale.high], "pictures": drawn}
    made = [pictures.draw_pixels(maps, scale, most) for maps in shown]
    placed = made[0].placed
    return {
        **described,
        "kind": "steps" if placed.count < len(shown[0].tiles) else "maps",
        "columns": placed.columns,
        "tile": [placed.tile_height, placed.tile_width],
        "gaps": [placed.row_gap, placed.column_gap],
        "times": made[0].times,
        "numbered": made[0].numbered,
        "size": list(placed.image.shape),
        "pictures": [
            {
                "words": pictures.picture_words(whole, maps, pixels.block),
                "source": pictures.data_uri(pictures.png(pixels, scale)),
            }
            for whole, maps, pixels in zip(wholes, shown, made, strict=True)
        ],
    }


def _value(value: float) -> float | str:
    """A number for JSON, which has no NaN and no infinities."""
    return float(f"{value:.4g}") if isfinite(value) else str(value)
