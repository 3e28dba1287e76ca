"""`actscope compare` as users run it: exit codes, JSON, pages and pictures."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from command_line import run
from comparable import network, record

ODD_NAME = "<script>alert(1)</script><img src=x onerror=alert(2)>"


@pytest.fixture
def files(tmp_path):
    record(tmp_path / "a.h5", network())
    record(tmp_path / "same.h5", network())
    record(tmp_path / "changed.h5", network(changed=3, amount=0.2))
    record(tmp_path / "short.h5", {name: rows[:7] for name, rows in network().items()})
    record(tmp_path / "other.h5", {f"unit_{n}": rows for n, rows in enumerate(network().values())})
    return tmp_path


def fails(done, *clauses):
    assert done.exit_code == 2
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("actscope: ")
    for clause in clauses:
        assert clause in line


def test_exit_codes_are_those_of_a_regression_test(files):
    same = run("compare", files / "a.h5", files / "same.h5")
    assert same.exit_code == 0
    assert "within tolerance: 6 layers, 40 samples" in same.stdout
    changed = run("compare", files / "a.h5", files / "changed.h5")
    assert changed.exit_code == 1
    assert "BEYOND TOLERANCE in 3 of 6 layers" in changed.stdout
    assert "first diverging: dense_3" in changed.stdout
    allowed = run("compare", files / "a.h5", files / "changed.h5", "--tolerance", "0.5")
    assert allowed.exit_code == 0


def test_json(files):
    done = run("compare", files / "a.h5", files / "changed.h5", "--json")
    assert done.exit_code == 1
    data = json.loads(done.stdout)
    assert (data["within"], data["first_diverging"], data["samples"]) == (False, "dense_3", 40)
    assert [layer["within"] for layer in data["layers"]] == [True] * 3 + [False] * 3
    worst = data["layers"][3]["worst"]
    rows = network()["dense_3"]
    assert worst["a"] == rows[worst["sample"]][worst["position"][0]]


def test_wrong_input_is_one_line(files):
    a = files / "a.h5"
    fails(run("compare", a, files / "nothing.h5"), "does not exist")
    fails(run("compare", a, files / "short.h5"), "40 against 7 samples", "--common")
    fails(run("compare", a, a, "--tolerance", "some"), "no tolerance 'some'")
    fails(run("compare", a, a, "--similarity", "some"), "cka")
    fails(run("compare", a, a, "-o", files / "page.txt"), "suffix")
    fails(run("compare", a, a, "-o", files / "none" / "page.html"), "does not exist")
    (files / "text.h5").write_text("no recording")
    fails(run("compare", a, files / "text.h5"), "not an actscope recording")
    assert run("compare", a, files / "short.h5", "--common").exit_code == 0


def test_an_existing_file_is_kept(files):
    page = files / "page.html"
    page.write_text("precious")
    fails(run("compare", files / "a.h5", files / "same.h5", "-o", page), "exists", "--overwrite")
    assert page.read_text() == "precious"
    done = run("compare", files / "a.h5", files / "same.h5", "-o", page, "--overwrite")
    assert done.exit_code == 0
    assert page.read_text().startswith("<!doctype html>")


def test_different_models(files):
    picture = files / "matrix.png"
    done = run("compare", files / "a.h5", files / "other.h5", "-o", picture)
    assert done.exit_code == 0
    assert "cka of each pair of layers" in done.stdout
    assert re.search(r"dense_2 +unit_2 +1.0000", done.stdout)
    with Image.open(picture) as image:
        assert image.width > 300
    data = run("compare", files / "a.h5", files / "a.h5", "--similarity", "rsa", "--json").stdout
    assert np.diag(json.loads(data)["similarity"]["values"]) == pytest.approx(np.ones(6))


class Page(HTMLParser):
    """What a browser would see: tags, their attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("words", [(), ("--similarity", "cka")])
def test_a_page_needs_nothing_else_and_escapes_everything(tmp_path, words):
    first = {ODD_NAME: network()["dense_0"], "dense": network()["dense_1"]}
    second = {ODD_NAME: first[ODD_NAME] + 1, "dense": first["dense"], "only'\"<b>": first["dense"]}
    origin = {"device": "<iframe>", "backend": "</pre><script>"}
    record(tmp_path / "a<b>.h5", first, ids=[f"<i>{n}</i>" for n in range(40)], **origin)
    record(tmp_path / "b.h5", second)
    output = tmp_path / "page.html"
    run("compare", tmp_path / "a<b>.h5", tmp_path / "b.h5", "-o", output, *words)
    page = Page(output.read_text(encoding="utf-8"))
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "iframe", "i", "b", "link", "object"})
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == (1 if words else 3)
    for attributes in pictures:
        assert set(attributes) == {"alt", "src"}
        kind, data = attributes["src"].split(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).verify()
    written = "".join(page.text)
    assert "a<b>.h5 and b.h5" in written
    assert "<iframe>" in written
    if not words:
        assert ODD_NAME in written
        assert "only in b: only'\"<b>" in written
        assert "first diverging" in written
