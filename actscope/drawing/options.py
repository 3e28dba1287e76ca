"""What the commands below `actscope render` share: their options, and how they draw."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actscope.command_options import parse_sample

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from actscope.store.reader import Recording

layer_argument = click.argument("layer")
sample_option = click.option(
    "--sample", default="0", show_default=True, help="Position of the sample, or its id."
)
picture_option = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="PNG, PDF or SVG."
)
cmap_option = click.option("--cmap", help="A colour map of matplotlib.")
scale_option = click.option(
    "--scale", default="auto", show_default=True, help="auto, shared, symmetric."
)
tile_scale_option = click.option(
    "--scale", default="auto", show_default=True, help="auto, shared, channel, symmetric."
)


def draw(verb: str, *, layer: str, sample: str, **options: Any) -> None:
    """Draw one sample of a layer of a recording with the function `verb` of `actscope.render`."""
    draw_from(verb, lambda recording: recording[layer], sample=parse_sample(sample), **options)


def draw_from(
    verb: str,
    subject: Callable[["Recording"], Any],
    *,
    file: Path,
    output: Path,
    overwrite: bool,
    **options: Any,
) -> None:
    """Draw what `subject` takes of a recording with the function `verb` of `actscope.render`."""
    import actscope

    check_picture(output, overwrite=overwrite)
    with actscope.open(file) as recording:
        drawn_from = subject(recording)
        from actscope import render

        save(getattr(render, verb)(drawn_from, **options), output)


def check_picture(output: Path, *, overwrite: bool) -> None:
    """Refuse a picture that exists, before anything is read.

    Raises:
        OutputExistsError: it exists and `overwrite` is false, or it is a folder.
    """
    from actscope.store.opening import check_output

    check_output(output, overwrite=overwrite)


def save(figure: "Figure", output: Path) -> None:
    """Write a picture, and say where it is."""
    from actscope import render

    render.save(figure, output)
    click.echo(str(output))
