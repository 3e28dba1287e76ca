"""The command `actscope report`."""

from pathlib import Path

import click

from actscope.command_options import (
    Samples,
    file_argument,
    overwrite_option,
    progress_option,
    samples_option,
)


@click.command()
@file_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="HTML file.")
@samples_option("Which samples to draw; by default the first four")
@overwrite_option
@progress_option
def report(
    file: Path, output: Path, samples: Samples | None, overwrite: bool, progress: bool | None
) -> None:
    """Make one page of the recording FILE: its layers, their statistics, pictures and warnings.

    The page is one HTML file that needs no network and nothing else.
    """
    from actscope.reporting.report import report as write

    write(file, output, samples=samples, overwrite=overwrite, progress=progress)
    click.echo(str(output))
