"""Some hundred of the mutants of benchmarks/fuzz.py, of every kind of recording."""

import os
import time
from multiprocessing import get_context

import pytest

from benchmarks import fuzz as fuzzing
from benchmarks.fuzz import Tally, fuzz, run_child
from benchmarks.fuzzing import judging
from benchmarks.fuzzing.judging import judge
from benchmarks.fuzzing.mutations import mutant
from benchmarks.fuzzing.originals import NAME, originals, small_blocks

MUTANTS = 400


@pytest.fixture(scope="module")
def kinds():
    return originals()


def test_no_mutant_does_harm(tmp_path):
    with get_context("spawn").Pool(1) as alone:  # it forks, so without other libraries' threads
        tally = alone.apply(fuzz, (10**6, MUTANTS, tmp_path))
    assert tally.failures == []
    assert sum(counts.total() for counts in tally.counts.values()) == MUTANTS
    assert len(tally.counts) == len(originals())
    together = {outcome for counts in tally.counts.values() for outcome in counts}
    assert together >= {judging.REFUSED, judging.PART_REFUSED, judging.FOUND, judging.EQUAL}


def test_recordings_as_they_are_have_nothing_wrong(kinds, tmp_path):
    for original in kinds:
        for name, content in original.files.items():
            (tmp_path / name).write_bytes(content)
        with small_blocks():
            assert judge(tmp_path / NAME, original).outcome == judging.EQUAL, original.name
        for name in original.files:
            (tmp_path / name).unlink()


def test_the_judge_sees_wrong_rows(kinds, tmp_path, monkeypatch):
    original = next(kind for kind in kinds if kind.name == "contiguous")
    content = bytearray(original.files[NAME])
    content[original.spans[1][0] + 3] ^= 1
    (tmp_path / NAME).write_bytes(content)
    assert judge(tmp_path / NAME, original).outcome == judging.FOUND
    monkeypatch.setattr(judging, "findings", lambda path: [])
    assert judge(tmp_path / NAME, original).outcome == "WRONG"


def test_a_number_makes_the_same_mutant_again(kinds):
    again = originals()
    for number in range(100):
        first, other = kinds[number % len(kinds)], again[number % len(kinds)]
        assert mutant(first, number) == mutant(other, number)


def crashing(*_):
    os.abort()


def hanging(*_):
    time.sleep(60)


def run_badly(kinds, folder, behave):
    """What is counted of three mutants where opening one ends badly."""
    fuzzing.judge, fuzzing.SECONDS = behave, 1.0
    tally = Tally()
    left = run_child([10, 20, 30], kinds, folder, tally)
    return left, tally


@pytest.mark.parametrize(("behave", "outcome"), [(crashing, "CRASH"), (hanging, "HANG")])
def test_crashes_and_hangs_are_failures(kinds, tmp_path, behave, outcome):
    with get_context("spawn").Pool(1) as alone:
        left, tally = alone.apply(run_badly, (kinds, tmp_path, behave))
    assert left == [20, 30]
    ((number, words),) = tally.failures
    assert number == 10
    assert outcome in words
