import pytest

from actscope.progress import progress, readable_bytes


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1_408_000_000, "1.41 GB"), (2e15, "2e+03 TB")],
)
def test_bytes_as_a_person_reads_them(count, text):
    assert readable_bytes(count) == text


def test_a_shown_bar_counts_to_the_end(capsys):
    with progress("run [b]x[/b].h5", 10, 1000, shown=True) as advance:
        advance(4)
        advance(6)
    drawn = capsys.readouterr().err
    assert "run [b]x[/b].h5" in drawn
    assert "10/10" in drawn
    assert "10 kB" in drawn


def test_nothing_is_drawn_off_a_terminal(capsys):
    for shown in (None, False):
        with progress("run.h5", 10, 1000, shown=shown) as advance:
            advance(10)
    assert capsys.readouterr().err == ""
