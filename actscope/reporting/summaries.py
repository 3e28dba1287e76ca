"""Statistics of a tensor as words and plain data for the page."""

from typing import Any

import numpy as np
import numpy.typing as npt

from actscope.reporting.names import sample_name
from actscope.statistics import EDGES, ZERO_BIN, Statistics
from actscope.store.reader import Recording

MOST_TOP_CHANNELS = 8
"""For so many channels of a tensor, the strongest, the samples of the largest values are named."""

MOST_TOP_SAMPLES = 5


def summary_rows(statistics: Statistics) -> list[list[str]]:
    """Of all finite values of all channels together, name by name."""
    count = int(statistics.count.sum())
    lost = int(statistics.not_finite.sum())
    if not count:
        return [["values", "0"], ["NaN or infinite", f"{lost:,}"]]
    known = statistics.count > 0
    share = statistics.count[known] / count
    means = statistics.mean[known]
    mean = float((share * means).sum())
    variance = float((share * (statistics.variance[known] + (means - mean) ** 2)).sum())
    return [
        ["mean", number_text(mean)],
        ["standard deviation", number_text(variance**0.5)],
        ["least", number_text(statistics.minimum[known].min())],
        ["greatest", number_text(statistics.maximum[known].max())],
        ["zeros", f"{statistics.zeros.sum() / count:.1%}"],
        ["NaN or infinite", f"{lost:,}"],
        ["values", f"{count:,}"],
    ]


def histogram_data(statistics: Statistics) -> dict[str, Any] | None:
    """How the values are spread: counts and edges of bins, and which bin holds zeros.

    Only bins between the least and the greatest value; None where there are no values.
    """
    filled = np.flatnonzero(statistics.histogram)
    if not len(filled):
        return None
    first, last = int(filled[0]), int(filled[-1])
    return {
        "zero": ZERO_BIN - first,
        "counts": statistics.histogram[first : last + 1].tolist(),
        "edges": [number_text(edge) for edge in EDGES[first : last + 2]],
    }


def number_text(value: float) -> str:
    """Four digits, as `"0.001234"` or `"1.234e+06"`."""
    return f"{value:.4g}"


def top_data(
    recording: Recording, statistics: Statistics, strength: npt.NDArray[np.float64], noun: str
) -> list[dict[str, Any]]:
    """For the strongest channels the samples of the largest values."""
    if statistics.samples < 2 or len(strength) != len(statistics.count):
        return []
    order = np.argsort(-np.nan_to_num(strength, nan=-1.0), kind="stable")
    alive = [channel for channel in order[:MOST_TOP_CHANNELS] if strength[channel] > 0]
    return [
        {
            "channel": f"{noun} {channel}",
            "samples": [
                {
                    "position": int(position),
                    "name": sample_name(recording, int(position)),
                    "value": number_text(value),
                }
                for position, value in zip(
                    statistics.top_samples[:MOST_TOP_SAMPLES, channel],
                    statistics.top_values[:MOST_TOP_SAMPLES, channel],
                    strict=True,
                )
                if position >= 0
            ],
        }
        for channel in alive
    ]
