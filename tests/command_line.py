"""Runs the command line in the tests' own process."""

import pytest
from click.testing import CliRunner

from actscope import cli


def run(*words):
    """`actscope` with these words: exit code, stdout, stderr."""

    @cli.click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
    @cli.click.argument("words", nargs=-1)
    def command(words):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("sys.argv", ["actscope", *words])
            cli.main()

    return CliRunner().invoke(command, [str(word) for word in words])
