"""The command `actscope report`."""

from pathlib import Path

import click

from actscope.command_options import file_argument, overwrite_option, progress_option


@click.command()
@file_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="HTML file.")
@click.option(
    "--samples",
    metavar="SAMPLES",
    help="Which samples to draw: 0:8, or positions and ids as in 3,-1,digit-07; by default the "
    "first four.",
)
@overwrite_option
@progress_option
def report(
    file: Path, output: Path, samples: str | None, overwrite: bool, progress: bool | None
) -> None:
    """Make one page of the recording FILE: its layers, their statistics, pictures and warnings.

    The page is one HTML file that needs no network and nothing else.
    """
    from actscope.reporting.choosing import parse_samples
    from actscope.reporting.report import report as write

    chosen = None if samples is None else parse_samples(samples)
    write(file, output, samples=chosen, overwrite=overwrite, progress=progress)
    click.echo(str(output))
