"""Arguments and options that several commands have, in the same words."""

from pathlib import Path

import click

file_argument = click.argument("file", type=click.Path(path_type=Path))
recording_output_option = click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="HDF5 file."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace an existing file.")
progress_option = click.option(
    "--progress/--no-progress", default=None, help="By default on a terminal only."
)
layout_option = click.option(
    "--layout",
    default="sample",
    show_default=True,
    help="sample, or channel for reading one channel over all samples.",
)
