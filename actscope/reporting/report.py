"""The job: make a page of a recording."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from actscope.progress import progress as progress_bar
from actscope.render.several import Samples
from actscope.replacing import check_output, replacing
from actscope.reporting.choosing import choose_samples
from actscope.reporting.content import content_of, tensors_by_path
from actscope.reporting.page import page_of
from actscope.store.reader import Recording, open_recording


def report(
    recording: Recording | str | Path,
    output: str | Path,
    *,
    samples: Samples | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Write one HTML file that shows a recording: to read, to search and to hand on.

    It needs no network, no server and no other file. It holds the recording's origin, its layers
    as a tree with statistics over all samples, what is suspicious about them, pictures of the
    chosen samples, and for the strongest channels the samples of the largest values.

    Args:
        recording: an open recording, or its path.
        output: the HTML file.
        samples: which to draw, such as `slice(0, 8)` or `[3, "digit-07"]`; at most 64. By default
            the first four.
        overwrite: whether an existing file may be replaced.
        progress: whether to draw a progress bar; by default on a terminal only.

    Returns:
        The path of the page.

    Raises:
        RenderError: there is no such sample, or they are too many for one page.
        OutputExistsError: the file exists and `overwrite` is false.
        MissingFileError: the recording or the folder does not exist.
        FormatError: the file is not a recording.
    """
    output = Path(output)
    check_output(output, overwrite=overwrite)
    with _opened(recording) as found:
        tensors = [tensor for group in tensors_by_path(found).values() for tensor in group]
        positions = choose_samples(found, samples, len(tensors))
        size = sum(tensor.nbytes for tensor in tensors)
        with (
            replacing(output) as temporary,
            progress_bar(output.name, len(tensors), size, shown=progress) as advance,
        ):
            temporary.write_text(page_of(content_of(found, positions, advance)), "utf-8")
    return output


def _opened(recording: Recording | str | Path) -> AbstractContextManager[Recording]:
    """The recording, closed at the end only where it was opened here."""
    if isinstance(recording, Recording):
        return nullcontext(recording)
    return open_recording(recording)
