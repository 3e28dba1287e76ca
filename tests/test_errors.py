import pytest

import actscope
from actscope import errors


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.UnknownLayerError, KeyError),
        (errors.MissingFileError, FileNotFoundError),
        (errors.OutputExistsError, FileExistsError),
        (errors.DiskFullError, OSError),
        (errors.OutputInUseError, OSError),
        (errors.ResumeError, ValueError),
        (errors.BackendError, ImportError),
        (errors.DataError, ValueError),
    ],
)
def test_errors_are_one_family_and_the_builtin_too(kind, builtin):
    error = kind("what 'was' wrong")
    assert isinstance(error, actscope.ActscopeError)
    assert isinstance(error, builtin)
    assert str(error) == "what 'was' wrong"


def test_nearest_names_what_is_like_it():
    assert errors.nearest("covn2d", ["conv2d", "dense"]) == "did you mean 'conv2d'?"


def test_nearest_lists_a_few_when_nothing_is_like_it():
    known = [f"layer{number}" for number in range(20)]
    clause = errors.nearest("zzzz", known)
    assert clause.startswith("there are 20: 'layer0'")
    assert clause.endswith("...")
    assert errors.nearest("x", []) == "there are none"
