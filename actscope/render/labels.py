"""Puts names that come from a file on axes: drawn literally, and shortened to fit."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.text import Text

from actscope.render.letters import literal, literal_words
from actscope.render.words import shorten

NAME_SIZE = 6.5

_TITLE_SIZE = 10.0
_NAME_LETTERS = 36


def name_ticks(axes: Axes, axis: str, positions: Sequence[int], names: Sequence[str]) -> None:
    """Names at `positions` along the axis `"x"`, where they stand upright, or `"y"`."""
    labels = [shorten(name, _NAME_LETTERS) for name in names]
    named = axes.xaxis if axis == "x" else axes.yaxis
    written, words = literal_words(labels)
    named.set_ticks(list(positions), written, **words)
    axes.tick_params(axis, labelsize=NAME_SIZE, labelrotation=90 if axis == "x" else 0)  # type: ignore[arg-type]


def plain_title(axes: Axes, text: str, letters: int, pad: float = 6.0) -> Text:
    """A title of at most `letters` letters, to the left."""
    return literal(
        axes.set_title(shorten(text, letters), loc="left", y=1.0, pad=pad, fontsize=_TITLE_SIZE)
    )
