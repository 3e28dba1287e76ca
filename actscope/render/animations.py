"""Draws one picture after the other, over samples or over the epochs of a training."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from actscope.errors import RenderError, nearest
from actscope.progress import progress as progress_bar
from actscope.render.encoding import FORMATS, Frame, check_encoder, write_gif, write_mp4
from actscope.render.grids import grid
from actscope.render.heat import choose
from actscope.render.heatmaps import heatmap
from actscope.render.layout import arrange
from actscope.render.saving import checked_suffix, pixels
from actscope.render.scale import Scale, finite_range, scale_for
from actscope.render.several import Samples, find_samples, take_samples
from actscope.render.subject import Layer, Subject, Values, find_sample
from actscope.render.vectors import vector
from actscope.replacing import replacing
from actscope.store.reader import RecordedTensor

MOST_SAMPLES = 16
"""So many samples are shown where nothing else was asked for and there are no epochs."""

_MERGE = "mean"
_EXAMPLES = 4
_DRAWINGS: dict[str, Callable[..., Figure]] = {
    "grid": partial(grid, page=1),
    "heatmap": partial(heatmap, merge=_MERGE),
    "vector": vector,
}


def animate(  # noqa: PLR0913
    layer: Layer,
    path: str | Path,
    *,
    kind: str = "grid",
    samples: Samples | None = None,
    sample: int | str = 0,
    scale: str = "auto",
    cmap: str | Colormap | None = None,
    fps: float = 4.0,
    progress: bool | None = None,
) -> None:
    """Draw a layer over samples, or over the epochs of a training, and write a GIF or an MP4.

    All frames have one size and one range of colours, that of the values of all of them. Of more
    than 256 channels the first 256 are drawn, so that all frames show the same.

    Args:
        layer: a recorded layer, or an array with the samples first and the channels last.
        path: where to write; the suffix is .gif, or .mp4 where ffmpeg is installed. A file of that
            name is replaced in one step, and kept where writing fails.
        kind: `"grid"`, `"heatmap"` (the mean over the channels, over the stored inputs) or
            `"vector"`, as drawn by the function of that name.
        samples: one frame for each: how many samples from the first one on, a slice, or a list of
            positions and ids; by default the epochs, where the recording has any, else the first
            16 samples.
        sample: over epochs: the position of the sample within an epoch, or its id.
        scale: `"shared"` is one range from the least to the greatest value; `"symmetric"` is
            centred on zero; `"auto"` is symmetric where there are clearly values on both sides of
            zero, else shared.
        cmap: a colour map of matplotlib; by default the one that the kind has.
        fps: frames per second, above 0 and at most 50.
        progress: whether to draw a progress bar on stderr; by default on a terminal.

    Raises:
        RenderError: there is no such kind, sample, scale or colour map, the suffix is another one,
            there is no ffmpeg for an MP4, or the layer cannot be drawn in this way.
        MissingFileError: the folder of `path` does not exist.
    """
    path = Path(path)
    suffix = checked_suffix(path, FORMATS)
    check_encoder(suffix)
    _check(kind, scale, fps)
    rows = frame_rows(layer, samples, sample)
    shared = shared_scale(layer, rows, kind, scale)
    draw = partial(_DRAWINGS[kind], layer, scale=shared, cmap=cmap)
    size = _largest(draw, rows)

    def frames(shown: Iterable[int]) -> Iterator[Frame]:
        return (raster(draw(row), size) for row in shown)

    with (
        progress_bar(path.name, len(rows), 0, shown=progress, noun="frames") as advance,
        replacing(path) as temporary,
    ):
        counted = _counted(frames(rows), advance)
        if suffix == "gif":
            examples = rows[:: -(-len(rows) // _EXAMPLES)]
            write_gif(temporary, counted, list(frames(examples)), fps)
        else:
            write_mp4(temporary, counted, fps)


def _check(kind: str, scale: str, fps: float) -> None:
    if kind not in _DRAWINGS:
        known = nearest(str(kind), _DRAWINGS)
        raise RenderError(f"no kind {kind!r} of picture to animate: {known}")
    if scale == "channel":
        raise RenderError("scale='channel' is not the same in all frames: use shared or symmetric")
    if not 0 < fps <= 50:
        raise RenderError(f"fps must be above 0 and at most 50, got {fps!r}")


def frame_rows(layer: Layer, samples: Samples | None, sample: int | str) -> tuple[int, ...]:
    """The rows of `layer` that the frames show, one after the other.

    Raises:
        RenderError: there is no such sample.
    """
    recording = layer.recording if isinstance(layer, RecordedTensor) else None
    if samples is not None or recording is None or recording.epochs is None:
        return find_samples(layer, MOST_SAMPLES if samples is None else samples)
    spans = [recording.rows_of_epoch(epoch) for epoch in np.unique(recording.epochs).tolist()]
    count = spans[0].stop - spans[0].start
    position = find_sample(sample, count, recording.ids[:count], recording.path.name)
    rows = [span.start + position for span in spans]
    return tuple(row for row, span in zip(rows, spans, strict=True) if row < span.stop)


def shared_scale(layer: Layer, rows: Sequence[int], kind: str, scale: str) -> Scale:
    """One scale for all frames: that of the least and the greatest value which they show."""
    ends = [finite_range(_values(subject, kind)) for subject in take_samples(layer, rows)]
    return scale_for(np.array(ends), scale)


def _values(subject: Subject, kind: str) -> Values:
    if kind != "heatmap":
        return subject.values
    maps = arrange(subject.values, subject.axes)
    return choose(maps, _MERGE, None, subject.name).maps


def _largest(draw: Callable[[int], Figure], rows: Sequence[int]) -> tuple[int, int]:
    """Height and width in pixels that hold every frame: headings differ in their lines."""
    boxes = [draw(row).bbox for row in rows]
    return max(int(box.height) for box in boxes), max(int(box.width) for box in boxes)


def raster(figure: Figure, size: tuple[int, int]) -> Frame:
    """A figure as a frame of `size` pixels, in the lower left corner of a white page.

    So the pictures of all frames stand still while their headings have more lines or fewer.
    """
    drawn = pixels(figure)[..., :3]
    above, right = size[0] - drawn.shape[0], size[1] - drawn.shape[1]
    return np.pad(drawn, ((above, 0), (0, right), (0, 0)), constant_values=255)


def _counted(frames: Iterable[Frame], advance: Callable[[int], None]) -> Iterator[Frame]:
    for frame in frames:
        yield frame
        advance(1)
