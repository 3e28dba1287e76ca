"""Draws many pictures, each to a file of its own, in several processes."""

import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from actscope.errors import ActscopeWarning, OutputExistsError, RenderError, nearest
from actscope.progress import progress as progress_bar
from actscope.recorded import listed_name
from actscope.render.attentions import attention
from actscope.render.file_names import picture_paths
from actscope.render.flows import flow
from actscope.render.grids import grid
from actscope.render.heatmaps import heatmap
from actscope.render.saving import save
from actscope.render.sequences import sequence
from actscope.render.several import Samples, positions_of
from actscope.render.vectors import vector
from actscope.render.volumes import volume
from actscope.store.reader import RecordedLayer, Recording, open_recording

VERBS: dict[str, Callable[..., Figure]] = {
    "grid": grid,
    "heatmap": heatmap,
    "vector": vector,
    "sequence": sequence,
    "attention": attention,
    "volume": volume,
    "flow": flow,
}
"""What draws one sample, of a layer or of a whole recording, in a picture."""

Place = tuple[str, str, bool]
"""Where in a recording a layer is: its path, its name, and whether it is a gradient."""

_PICTURES_PER_ERRAND = 4


@dataclass(frozen=True)
class _Brush:
    """What all pictures of one call have in common.

    Attributes:
        recording: its file.
        verb: one of `VERBS`.
        options: its keyword arguments.
    """

    recording: Path
    verb: str
    options: dict[str, Any]


@dataclass(frozen=True)
class _Picture:
    """What one picture shows, and where it goes.

    Attributes:
        layer: which; None for the whole recording.
        sample: its position.
        path: of the picture.
    """

    layer: Place | None
    sample: int
    path: Path


def each(
    drawn: RecordedLayer | Sequence[RecordedLayer] | Recording,
    verb: str,
    folder: str | Path,
    *,
    samples: Samples = slice(None),
    jobs: int = 1,
    overwrite: bool = False,
    progress: bool | None = None,
    **options: Any,
) -> list[Path]:
    """Draw each sample of each layer in a picture of its own, a PNG in `folder`.

    The pictures are those that the function called `verb` draws one by one. Their names are made
    of the layer's, the sample's position and its id, such as `conv2d-0007-digit-07.png`; of several
    layers each has its number before. What is not a letter or a digit becomes a dash.

    Args:
        drawn: a recorded layer, or several of one recording; for `"flow"` the recording.
        verb: `"grid"`, `"heatmap"`, `"vector"`, `"sequence"`, `"attention"`, `"volume"` or
            `"flow"`.
        folder: made where it is missing.
        samples: how many from the first one on, a slice, or a list of positions and ids; by
            default all.
        jobs: how many processes draw. With more than one, a script has to call this under
            `if __name__ == "__main__":`, as for everything that starts processes.
        overwrite: whether pictures that exist may be replaced; else none is drawn.
        progress: whether to draw a progress bar on stderr; by default on a terminal.
        **options: of the function called `verb`.

    Returns:
        The paths of the pictures.

    Raises:
        RenderError: there is no such verb or sample, or what is asked for cannot be drawn. What was
            drawn before stays.
        OutputExistsError: a picture exists and `overwrite` is false, or `folder` is a file.
    """
    recording, layers = _taken(drawn, verb)
    _check(verb, options, jobs)
    positions = positions_of(samples, recording.samples, recording.ids, recording.path.name)
    pictures = _pictures(recording, layers, list(dict.fromkeys(positions)), Path(folder))
    check_folder(Path(folder), [picture.path for picture in pictures], overwrite=overwrite)
    brush, shown = _Brush(recording.path, verb, options), Path(folder).resolve().name
    with progress_bar(shown, len(pictures), 0, shown=progress, noun="pictures") as advance:
        for _ in _drawn(recording, brush, pictures, min(jobs, len(pictures))):
            advance(1)
    return [picture.path for picture in pictures]


def _taken(
    drawn: RecordedLayer | Sequence[RecordedLayer] | Recording, verb: str
) -> tuple[Recording, list[RecordedLayer]]:
    """The recording, and the layers of it; none where the recording itself is drawn."""
    if verb not in VERBS:
        raise RenderError(f"no verb {verb!r} draws one sample in a picture: {nearest(verb, VERBS)}")
    if isinstance(drawn, Recording):
        if verb != "flow":
            raise RenderError(f"{verb} draws layers: give recording[path], or several of them")
        return drawn, []
    layers = [drawn] if isinstance(drawn, RecordedLayer) else list(drawn)
    if verb == "flow" or not all(isinstance(layer, RecordedLayer) for layer in layers):
        wanted = "an open recording" if verb == "flow" else "layers of an open recording"
        raise RenderError(f"each picture of {verb} is drawn from a file: give {wanted}")
    if len({layer.recording.path for layer in layers}) != 1:
        raise RenderError("give layers of one recording, at least one")
    return layers[0].recording, layers


def _check(verb: str, options: dict[str, Any], jobs: int) -> None:
    if not isinstance(jobs, int) or jobs < 1:
        raise RenderError(f"jobs must be a whole number above 0, got {jobs!r}")
    if {"ax", "figure", "sample"} & set(options):
        raise RenderError(
            "each picture has its own figure and sample: leave out ax=, figure= and sample="
        )
    if verb == "grid" and options.get("channel") is not None:
        raise RenderError(
            "a grid of one channel shows many samples in one picture: leave out channel= "
            "(--channel), or do not ask for a picture of each sample"
        )


def _pictures(
    recording: Recording, layers: list[RecordedLayer], samples: list[int], folder: Path
) -> list[_Picture]:
    named = [listed_name(layer) for layer in layers] or ["flow"]
    places: list[Place | None] = [None]
    if layers:
        places = [(layer.path, layer.name, layer.is_gradient) for layer in layers]
    paths = picture_paths(folder, named, samples, recording.ids, recording.samples)
    return [
        _Picture(place, sample, path)
        for place, row in zip(places, paths, strict=True)
        for sample, path in zip(samples, row, strict=True)
    ]


def check_folder(folder: Path, pictures: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse a folder that is a file, and pictures that exist, before anything is drawn.

    Raises:
        OutputExistsError: it is one, or they do and `overwrite` is false.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputExistsError(f"{folder} is a file: name a folder for the pictures")
    existing = [path for path in pictures if path.exists() and not (overwrite and path.is_file())]
    if existing:
        more = f" and {len(existing) - 1} others exist" if len(existing) > 1 else " exists"
        raise OutputExistsError(
            f"{existing[0]}{more}: name another folder, or overwrite (overwrite=True, --overwrite)"
        )


def _drawn(
    recording: Recording, brush: _Brush, pictures: list[_Picture], jobs: int
) -> Iterator[None]:
    """Draws the pictures one after the other; those of several jobs in their processes."""
    folder = pictures[0].path.parent
    was_there = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        if jobs == 1:
            for picture in pictures:
                _draw(recording, brush, picture)
                yield
        else:
            yield from _drawn_by_processes(brush, pictures, jobs)
    except BaseException:
        if not was_there:
            with suppress(OSError):  # there are pictures in it
                folder.rmdir()
        raise


def _drawn_by_processes(brush: _Brush, pictures: list[_Picture], jobs: int) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")  # a forked copy of threads may hang
    errand = min(_PICTURES_PER_ERRAND, -(-len(pictures) // jobs))
    said: set[str] = set()
    with ProcessPoolExecutor(jobs, context, initializer=_ignore_interrupts) as processes:
        try:
            for words in processes.map(partial(_draw_apart, brush), pictures, chunksize=errand):
                for text in [text for text in words if text not in said]:
                    said.add(text)
                    warnings.warn(text, ActscopeWarning, stacklevel=2)
                yield
        except BrokenProcessPool as error:
            raise RenderError(
                "a process that draws has ended: give fewer jobs (--jobs) where memory is short, "
                'and call this under if __name__ == "__main__": in a script'
            ) from error
        finally:
            processes.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the process that was asked for the pictures."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _draw_apart(brush: _Brush, picture: _Picture) -> list[str]:
    """Draw one picture in a process of its own; what was warned of, for the one that asked."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ActscopeWarning)
        _draw(_opened(brush.recording), brush, picture)
    return [str(one.message) for one in said if issubclass(one.category, ActscopeWarning)]


@lru_cache(maxsize=1)
def _opened(path: Path) -> Recording:
    return open_recording(path)


def _draw(recording: Recording, brush: _Brush, picture: _Picture) -> None:
    drawn = recording if picture.layer is None else _layer(recording, *picture.layer)
    save(VERBS[brush.verb](drawn, picture.sample, **brush.options), picture.path)


def _layer(recording: Recording, path: str, name: str, is_gradient: bool) -> RecordedLayer:
    layer = next(output for output in recording.outputs(path) if output.name == name)
    gradient = layer.gradient if is_gradient else None
    return gradient or layer
