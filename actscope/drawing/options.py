"""What the commands below `actscope render` share: their options, and how they draw."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actscope.command_options import (
    Samples,
    overwrite_option,
    parse_sample,
    progress_option,
    samples_option,
)
from actscope.plurals import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from actscope.store.reader import RecordedLayer, Recording

layer_argument = click.argument("layer")
columns_option = click.option(
    "--columns", type=int, help="Tiles in a row; by default a nearly square picture."
)
alpha_option = click.option(
    "--alpha", default=0.5, show_default=True, help="Opacity of the activation, from 0 to 1."
)
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


def each_options(command: Any) -> Any:
    """The options of commands that can draw many pictures at once, without `--samples`."""
    for option in (
        overwrite_option,
        progress_option,
        click.option(
            "--jobs", type=int, help="With --each: how many processes draw; by default 1."
        ),
        click.option(
            "--each",
            is_flag=True,
            help="A picture for each of --samples, by default for --sample alone, and of each "
            "layer where LAYER is a pattern such as 'conv*', type:Conv2D or all: PNGs in the "
            "folder OUTPUT.",
        ),
        click.option(
            "-o",
            "--output",
            required=True,
            type=click.Path(path_type=Path),
            help="PNG, PDF, SVG or JPEG; with --each a folder.",
        ),
    ):
        command = option(command)
    return command


each_samples_option = samples_option("With --each")


def draw(verb: str, *, layer: str, sample: str, **options: Any) -> None:
    """Draw samples of layers of a recording with the function `verb` of `actscope.render`."""
    if options["each"]:
        draw_each(verb, lambda recording: layers_of(recording, layer), sample=sample, **options)
    else:
        draw_one(verb, lambda recording: layer_of(recording, layer), sample=sample, **options)


def draw_one(
    verb: str,
    subject: Callable[["Recording"], Any],
    *,
    each: bool,  # noqa: ARG001
    samples: Samples | None,
    jobs: int | None,
    progress: bool | None,  # noqa: ARG001
    sample: str,
    **options: Any,
) -> None:
    """Draw one picture with a function that can be asked for many."""
    for name, given in (("samples", samples), ("jobs", jobs)):
        if given is not None and not (verb == "grid" and name == "samples"):
            raise click.UsageError(f"--{name} is for many pictures at once: give --each with it")
    if samples is not None:
        options["samples"] = samples
    draw_from(verb, subject, sample=parse_sample(sample), **options)


def draw_each(
    verb: str,
    subject: Callable[["Recording"], Any],
    *,
    file: Path,
    output: Path,
    each: bool,  # noqa: ARG001
    sample: str,
    samples: Samples | None,
    jobs: int | None,
    **options: Any,
) -> None:
    """Draw a picture for each sample of what `subject` takes of a recording."""
    import actscope

    with actscope.open(file) as recording:
        drawn = subject(recording)
        from actscope import render

        chosen = [parse_sample(sample)] if samples is None else samples
        jobs = 1 if jobs is None else jobs
        pictures = render.each(drawn, verb, output, samples=chosen, jobs=jobs, **options)
    click.echo(f"{output}: {counted(len(pictures), 'picture')}")


def layer_of(recording: "Recording", name: str) -> "RecordedLayer":
    """The first output of a layer by its path, or any output or gradient by the name in `info`."""
    from actscope.recorded import tensor_named

    return tensor_named(recording, name)


def layers_of(recording: "Recording", pattern: str) -> list["RecordedLayer"]:
    """The layers of a recording that a pattern takes, as `actscope extract --layers` takes them.

    Raises:
        UnknownLayerError: it takes none.
        SelectionError: it is malformed.
    """
    from actscope.recorded import described_layers, every_tensor, tensor_named
    from actscope.selection import select

    if pattern in recording or pattern in every_tensor(recording):
        return [tensor_named(recording, pattern)]
    return [recording[info.path] for info in select(described_layers(recording), pattern)]


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
    from actscope.replacing import check_output

    check_output(output, overwrite=overwrite)


def save(figure: "Figure", output: Path) -> None:
    """Write a picture, and say where it is."""
    from actscope import render

    render.save(figure, output)
    click.echo(str(output))
