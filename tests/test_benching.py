"""The benchmark's processes, with backends that are missing or crash."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from actscope.benching.plan import Bench, Measured, Run, Timed
from actscope.benching.showing import bench_table, save_plot
from actscope.errors import BackendError

INSTALLED = [name for name in ("jax", "torch", "tensorflow") if find_spec(name)]
needs_two = pytest.mark.skipif(
    len(INSTALLED) < 2 or not find_spec("keras"), reason="needs Keras with two backends"
)
MODEL = """
import os, keras
def build():
    if os.environ["KERAS_BACKEND"] == os.environ.get("CRASHING"):
        os._exit(7)
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="dense")])
"""


def bench(folder, *words, **variables):
    (folder / "mine.py").write_text(MODEL)
    np.save(folder / "x.npy", np.random.default_rng(0).random((40, 5), np.float32))
    command = [sys.executable, "-c", "from actscope.cli import main; main()", "bench"]
    return subprocess.run(
        [*command, *words], cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
    )  # fmt: skip


@needs_two
def test_backends_take_the_same_weights_and_agree(tmp_path):
    names = ",".join([*INSTALLED[:2], "theano"])
    words = ("--backends", names, "--batch-sizes", "8,32", "--repeat", "2", "-o", "b.json")
    done = bench(tmp_path, "mine:build", "x.npy", *words, "--plot", "b.png")
    assert done.returncode == 0, done.stderr
    assert "theano: left out: not installed" in done.stdout
    assert "every layer agrees" in done.stdout
    found = json.loads((tmp_path / "b.json").read_text())
    assert (tmp_path / "b.png").stat().st_size > 5000
    first, second, missing = found["backends"]
    assert first["weights-sha256"] == second["weights-sha256"] != ""
    assert missing["error"] == "not installed"
    for backend in (first, second):
        assert [run["batch-size"] for run in backend["runs"]] == [8, 32]
        for run in backend["runs"]:
            assert run["bytes-to-host"] == 40 * 3 * 4
            assert run["bytes-to-disk"] > run["bytes-to-host"]
            assert len(run["record"]["seconds"]) == len(run["forward"]["seconds"]) == 2
        assert backend["peak-host-bytes"] > 50 * 10**6
    assert len(found["comparisons"]) == 1
    assert found["samples"] == 40
    assert found["machine"]["cores"] == os.cpu_count()


@needs_two
def test_a_crash_does_not_take_the_others_with_it(tmp_path):
    words = ("--backends", ",".join(INSTALLED[:2]), "--batch-sizes", "8", "--repeat", "1")
    done = bench(tmp_path, "mine:build", "x.npy", *words, CRASHING=INSTALLED[1])
    assert done.returncode == 0, done.stderr
    assert f"{INSTALLED[1]}: left out: its process ended with 7" in done.stdout
    assert f"{INSTALLED[0]} " in done.stdout


@pytest.mark.parametrize(
    ("words", "clause"),
    [
        (("mine:build", "x.npy", "--backends", "theano,caffe"), "none of the backends"),
        (("mine:build", "x.npy", "--batch-sizes", "8,many"), "whole numbers"),
        (("mine:build", "x.npy", "--batch-sizes", "0"), "at least 1"),
        (("mine:build", "x.npy", "-o", "x.npy"), "x.npy exists"),
    ],
)
def test_wrong_input(tmp_path, words, clause):
    done = bench(tmp_path, *words)
    assert done.returncode == 2
    assert clause in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def example():
    run = Run(32, 1.5, Timed((2.0, 1.0, 4.0)), Timed((3.0, 2.0, 5.0)), 4000, 5000)
    backends = (
        Measured("jax", runs=(run,), peak_host_bytes=10**9, samples=100),
        Measured("torch", error="not installed"),
    )
    return Bench("m", "x", 100, {"processor": "cpu", "cores": 2}, backends)


def test_medians_spread_and_share():
    (measured, _), plain = example().backends, example().to_json()
    run = measured.runs[0]
    assert (run.forward.median, run.record.median, run.share) == (2.0, 3.0, 0.5)
    timed = plain["backends"][0]["runs"][0]["record"]
    assert timed["samples-per-second"] == pytest.approx(100 / 3)
    assert timed["spread"] == [20.0, 50.0]
    assert "recording" not in plain["backends"][0]


def test_table_and_picture(tmp_path):
    text = bench_table(example())
    assert "jax" in text
    assert "+50%" in text
    assert "torch: left out: not installed" in text
    save_plot(example(), tmp_path / "b.png")
    assert (tmp_path / "b.png").stat().st_size > 5000


def test_no_backend_at_all():
    from actscope.benching.running import bench as run

    with pytest.raises(BackendError, match="theano is installed"):
        run("m", "x", backends=["theano"])
