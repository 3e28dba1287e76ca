"""Whatever a file holds, it is refused by a clear error, quickly, and leads to no other file."""

import json
import os
import subprocess
import sys

import h5py
import pytest

import actscope
import hostile_bytes
import hostile_files
from actscope.errors import ActscopeError, FormatError, MissingFileError
from actscope.store.verification import findings
from limited import VERBS

MAKERS = {
    **dict.fromkeys(hostile_files.CASES, hostile_files.make),
    **dict.fromkeys(hostile_bytes.CASES, hostile_bytes.make),
}


def check_refused(limited, path, good, verbs=VERBS):
    """Whoever does anything with the file is told what is wrong and where, quickly and cheaply.

    Returns what each verb says.
    """
    answers = {}
    for verb in verbs:
        said, kilobytes, _ = limited(verb, path, good)
        assert kilobytes < 200_000, verb
        assert not said.startswith(("TRACEBACK", "ENDED")), (verb, said)
        answers[verb] = said
    return answers


@pytest.mark.parametrize("case", MAKERS)
def test_hostile_files_are_refused(example, tmp_path, limited, case):
    path = MAKERS[case](case, example.write(), tmp_path / "hostile.h5")
    for verb, said in check_refused(limited, path, example.path).items():
        assert said.startswith(f"FormatError {path}"), verb
        assert len(said.splitlines()) == 1
        assert len(said) > len(str(path)) + 30
    found = findings(path)
    assert found
    assert all(finding.place.startswith("/") and finding.problem for finding in found)


def test_the_newest_form_of_hdf5_is_refused_with_advice(example, tmp_path):
    path = tmp_path / "newest.h5"
    with (
        h5py.File(example.write(), "r") as old,
        h5py.File(path, "w", libver="latest") as new,
    ):
        for name in old:
            old.copy(name, new)
    with pytest.raises(FormatError, match="libver='earliest'"):
        actscope.open(path)


def test_every_problem_is_found_and_not_only_the_first(example):
    path = example.write()
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d/output"].attrs["order"]
        file["layers/tokens/output"].attrs["dtype"] = "float1024"
        file["rows"][0] = 99
    found = actscope.verify(path)
    assert [finding.place for finding in found] == ["/rows", "/layers/conv2d", "/layers/tokens"]
    with pytest.raises(FormatError):
        actscope.open(path)


def test_a_good_recording_has_nothing_wrong(example):
    assert actscope.verify(example.write()) == []


def test_changed_rows_are_found_by_their_checksum(example):
    path = example.write()
    place = actscope.open(path)["conv2d"]._tensor.offset
    content = bytearray(path.read_bytes())
    content[place + 100] ^= 1
    path.write_bytes(bytes(content))
    (finding,) = actscope.verify(path)
    assert finding.place == "/layers/conv2d/output"
    assert "checksum" in finding.problem


def test_a_crash_and_a_hang_of_the_library_are_findings(example, monkeypatch):
    from actscope.store import verification

    path = example.write()
    real = subprocess.run

    def crashing(command, **words):
        return real([sys.executable, "-c", "import os; os.abort()"], **words)

    monkeypatch.setattr(verification.subprocess, "run", crashing)
    (finding,) = verification.verify(path)
    assert "ended the process with -6" in finding.problem

    def hanging(command, **words):
        return real(
            [sys.executable, "-c", "import time; time.sleep(60)"], **{**words, "timeout": 1}
        )

    monkeypatch.setattr(verification.subprocess, "run", hanging)
    (finding,) = verification.verify(path)
    assert "broken off" in finding.problem


def run(*words):
    command = [sys.executable, "-c", "from actscope.cli import main; main()", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command(example, tmp_path):
    good = run("verify", example.write())
    assert (good.returncode, good.stderr) == (0, "")
    assert "nothing is wrong" in good.stdout
    path = hostile_files.make("missing_attribute", example.path, tmp_path / "bad.h5")
    bad = run("verify", path)
    assert bad.returncode == 1
    assert "/layers/conv2d: attribute 'order'" in bad.stdout
    plain = json.loads(run("verify", path, "--json").stdout)
    assert plain[0]["place"] == "/layers/conv2d"
    missing = run("verify", tmp_path / "missing.h5")
    assert missing.returncode == 2
    assert len(missing.stderr.splitlines()) == 1
    opened = run("info", path)
    assert opened.returncode == 2
    assert len(opened.stderr.splitlines()) == 1


def test_what_is_no_recording_at_all(tmp_path):
    (tmp_path / "text.h5").write_text("no HDF5 at all")
    (tmp_path / "empty.h5").write_bytes(b"")
    for name in ("text.h5", "empty.h5"):
        with pytest.raises(ActscopeError, match=name):
            actscope.open(tmp_path / name)
        assert actscope.verify(tmp_path / name)
    assert actscope.verify(tmp_path)[0].place == "/"
    os.mkfifo(tmp_path / "pipe.h5")  # of which reading would wait for ever
    with pytest.raises(FormatError, match="not a file"):
        actscope.open(tmp_path / "pipe.h5")
    assert actscope.verify(tmp_path / "pipe.h5")
    with pytest.raises(MissingFileError):
        actscope.verify(tmp_path / "missing.h5")
