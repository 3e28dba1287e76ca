"""Draws one sample of a layer in two recordings side by side, with the difference."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError, nearest
from actscope.plurals import counted
from actscope.render import draw
from actscope.render.canvas import BESIDE_BARS, Canvas, picture_size, prepare
from actscope.render.draw import Paint, colour_map
from actscope.render.headed import HeadedFigure, headed
from actscope.render.layout import Maps, arrange, strongest
from actscope.render.scale import Scale, apart, finite_range, scale_for
from actscope.render.sequences import draw_rows
from actscope.render.sheets import default_colours, draw_sheet, plan_sheet
from actscope.render.subject import Layer, Subject, Values, take_sample
from actscope.render.surface import Surface, surface_of
from actscope.render.vectors import MOST_BARS
from actscope.render.words import details, maps_words, sample_words, shorten, titled
from actscope.store.reader import RecordedTensor

MOST_TILES = 64
"""Of more channels the strongest of the first recording are drawn."""

_SIDE = 3.1
_BESIDE = (1.25, 0.65)
_WIDE_PANEL = (7.5, 2.4)
_WIDE = 2.0
_PANEL_LETTERS = 34


def compare(
    layer_a: Layer,
    layer_b: Layer,
    sample: int | str = 0,
    *,
    scale: str = "auto",
    cmap: str | Colormap | None = None,
    columns: int | None = None,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw one sample of a layer in two recordings side by side, and their difference `b - a`.

    The first two share one range of colours; the difference has its own, around zero. The title
    names the largest absolute difference of the whole sample. Of more than 64 channels those are
    drawn that are strongest in `layer_a`. NaN and infinities are marked.

    Args:
        layer_a: a recorded layer, or an array with the samples first and the channels last.
        layer_b: the same layer in another recording, of the same axes and shape.
        sample: its position in `layer_a`, negative from the end, or its id. Where both recordings
            have ids, the sample of the same id is taken from the other one, else that of the same
            position.
        scale: of the first two: `"shared"` is one range from the least to the greatest value;
            `"symmetric"` is centred on zero; `"auto"` is symmetric where there are clearly values
            on both sides of zero, else shared.
        cmap: of the first two: a colour map of matplotlib; by default RdBu_r where symmetric, else
            viridis.
        columns: tiles in a row; by default such that each picture is nearly square.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample in one of them, no such scale or colour map, or the
            shapes or axes differ.
    """
    surface = surface_of(ax, figure)
    if scale == "channel":
        raise RenderError("scale='channel' has no common scale for both: use shared or symmetric")
    first = take_sample(layer_a, sample)
    second = take_sample(layer_b, _partner(first, layer_b))
    _check_alike(first, second)
    both = [arrange(subject.values, subject.axes) for subject in (first, second)]
    reach = scale_for(np.stack([first.values, second.values]), scale)
    paint = Paint(reach, colour_map(cmap or default_colours(reach)))
    shown = _shown(both)
    whole = _panels(shown[0], columns, surface)
    names = (*_file_names(layer_a, layer_b), "b − a")
    quantities = (first.quantity, first.quantity, "difference")
    for maps, painted, words, panel in zip(
        shown,
        (paint, paint, _around_zero(shown[2])),
        zip(names, quantities, strict=True),
        whole.panels,
        strict=True,
    ):
        _draw_panel(maps, painted, words, columns, panel)
    _write_heading(whole, first, second, _shape_words(shown[0], len(both[0].values)))
    return whole.figure


def _partner(subject: Subject, other: Layer) -> int | str:
    """Which sample of the other recording is the same one.

    Ids repeat from epoch to epoch: the sample at the same position comes first.
    """
    ids = other.recording.ids if isinstance(other, RecordedTensor) else ()
    there = ids[subject.position : subject.position + 1]
    if not (subject.sample_id and ids) or there == (subject.sample_id,):
        return subject.position
    if subject.sample_id not in ids:
        raise RenderError(
            f"the second recording has no sample {subject.sample_id!r}: "
            f"{nearest(subject.sample_id, ids)}"
        )
    return subject.sample_id


def _check_alike(first: Subject, second: Subject) -> None:
    for word, a, b in (
        ("shapes", first.values.shape, second.values.shape),
        ("axes", first.axes, second.axes),
    ):
        if a != b:
            raise RenderError(
                f"{first.name or 'the array'!r} has the {word} {a} and {b}: only equal ones can "
                "be compared element by element"
            )


def _shown(both: Sequence[Maps]) -> tuple[Maps, Maps, Maps]:
    """The channels that are drawn: of the first, of the second, and their difference."""
    first = strongest(both[0], MOST_TILES) if both[0].row_axis else both[0]
    second = replace(first, values=both[1].values[first.numbers])
    return first, second, replace(first, values=apart(first.values, second.values))


def _panels(maps: Maps, columns: int | None, surface: Surface | None) -> HeadedFigure:
    """Three panels beside each other; bars, and many steps, stand one below the other."""
    if _are_bars(maps) or (_are_steps(maps) and maps.values.shape[-1] > _WIDE * len(maps.values)):
        return headed(_WIDE_PANEL, (3, 1), surface)
    width, height = plan_sheet(maps.tiles.shape, columns, None).size
    if _are_steps(maps):
        width = height
    size = (_SIDE + _BESIDE[0], _SIDE * height / max(width, height) + _BESIDE[1])
    return headed(size, (1, 3), surface)


def _are_bars(maps: Maps) -> bool:
    return maps.values[0].size == 1 and len(maps.values) <= MOST_BARS


def _are_steps(maps: Maps) -> bool:
    return bool(maps.column_axis) and not maps.row_axis


def _shape_words(maps: Maps, count: int) -> str:
    return counted(count, maps.noun) if maps.values[0].size == 1 else maps_words(maps, count)


def _file_names(a: Layer, b: Layer) -> tuple[str, str]:
    names = [
        f"{letter} · {side.recording.path.name}" if isinstance(side, RecordedTensor) else letter
        for letter, side in (("a", a), ("b", b))
    ]
    return names[0], names[1]


def _around_zero(difference: Maps) -> Paint:
    return Paint(scale_for(difference.values, "symmetric"), colour_map("RdBu_r"))


def _draw_panel(
    maps: Maps, paint: Paint, words: tuple[str, str], columns: int | None, panel: SubFigure
) -> None:
    """One of the three pictures; `words` are its name and what its values are."""
    lift = 0.0
    if _are_bars(maps):
        axes, canvas = _draw_bars(maps, paint.scale, words[1], panel)
    elif _are_steps(maps):
        axes, canvas = draw_rows(maps, paint, words[1], panel)
    else:
        axes, canvas, sheet = draw_sheet(maps.tiles, paint, maps.labels, words[1], columns, panel)
        lift = sheet.lift
    draw.draw_words(axes, canvas, shorten(words[0], _PANEL_LETTERS), (), lift)


def _draw_bars(maps: Maps, scale: Scale, quantity: str, panel: SubFigure) -> tuple[Axes, Canvas]:
    values = maps.values.ravel()
    size = picture_size(_WIDE_PANEL[0] / _WIDE_PANEL[1], len(values), panel)
    canvas = prepare(size, panel, BESIDE_BARS)
    axes = canvas.axes()
    draw.draw_bars(axes, values, None)
    draw.draw_crosses(axes, values)
    draw.span_bars(axes, scale)
    draw.plain_axes(axes, maps.noun, quantity)
    return axes, canvas


def _write_heading(whole: HeadedFigure, first: Subject, second: Subject, shape: str) -> None:
    """The title with the largest difference, and below it what is known of the sample."""
    letters, smaller = whole.letters
    largest = largest_words(first.values, second.values)
    title = titled(first.name, f"{sample_words(first)} · {largest}", letters)
    whole.write(title, details(first, shape, "", smaller))


def largest_words(a: Values, b: Values) -> str:
    """Such as `"largest |b − a| 0.0123"`; elements that are not finite on both sides are apart."""
    unlike = np.isfinite(a) != np.isfinite(b)
    if unlike.any():
        return f"{counted(int(unlike.sum()), 'element')} finite on one side only"
    reach = max(map(abs, finite_range(apart(a, b))))
    return f"largest |b − a| {reach:.3g}" if reach else "equal"
