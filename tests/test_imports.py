"""What importing actscope does not import; each check in a process of its own."""

import importlib
import pkgutil
import subprocess
import sys
import types

import pytest

from numpy_model import Model, extract, rows

HEAVY = ["keras", "jax", "tensorflow", "torch", "matplotlib"]


def modules_after(statement, whole=False):
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name if whole else name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "statement",
    [
        "import actscope",
        "import actscope; actscope.open",
        "import actscope; actscope.extract",
        "import actscope; actscope.compare",
        "import actscope.cli",
        "import actscope.notebook",
        "from actscope.registry import adapters; adapters()",
    ],
)
def test_no_framework_and_no_plotting_library(statement):
    assert modules_after(statement).isdisjoint(HEAVY)


def test_rendering_imports_no_framework_and_no_pyplot():
    every = "import actscope.render as r; [getattr(r, name) for name in r.__all__]"
    loaded = modules_after(every, whole=True)
    assert loaded.isdisjoint([*HEAVY[:-1], "matplotlib.pyplot"])


def test_one_picture_does_not_wait_for_what_draws_others():
    loaded = modules_after("from actscope import render; render.grid; render.save", whole=True)
    assert "actscope.render.grids" in loaded
    others = ("animations", "embeddings", "flows", "histograms", "many", "tops")
    assert loaded.isdisjoint(f"actscope.render.{module}" for module in others)
    assert "multiprocessing.context" not in loaded


def test_the_names_of_render_stay_functions_whatever_is_imported():
    from actscope import render

    for module in pkgutil.iter_modules(render.__path__):
        importlib.import_module(f"actscope.render.{module.name}")
    for name in render.__all__:
        assert isinstance(getattr(render, name), types.FunctionType)
        assert name in dir(render)
    with pytest.raises(AttributeError, match=r"'actscope\.render' has no attribute 'nothing'"):
        _ = render.nothing


def test_reading_takes_no_part_of_the_hdf5_library(tmp_path):
    extract(Model(), rows(23), tmp_path / "run.h5", statistics=True, codec="zstd")
    code = f"""
import actscope
from actscope import listing, render
from actscope.store.verification import findings
recording = actscope.open({str(tmp_path / "run.h5")!r})
layers = [(layer[:], layer.statistics) for layer in recording.values()]
listing.recording_table(recording)
render.statistics(recording)
assert actscope.compare(recording, recording).within
assert findings(recording.path) == []
"""
    assert modules_after(code).isdisjoint(["h5py"])


def test_public_names_are_there_and_stay_functions():
    import actscope
    import actscope.extraction

    for name in actscope.__all__:
        assert getattr(actscope, name) is not None
    assert callable(actscope.extract)
    assert callable(actscope.open)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = actscope.nothing
