import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.errors import SelectionError, UnknownLayerError
from actscope.protocol import LayerInfo
from actscope.selection import matches, select
from recordings import output_info

names = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1)
paths = st.lists(names, min_size=1, max_size=4).map("/".join)


def layers(*paths):
    return [LayerInfo(p, "Dense", 1, (output_info(p, (2,), n),)) for n, p in enumerate(paths)]


@given(paths)
def test_a_path_always_names_itself(path):
    assert matches(path, path)


@given(paths)
def test_two_stars_match_every_path(path):
    assert matches("**", path)


@given(paths, names)
def test_star_slash_name_finds_it_at_any_depth(path, name):
    last = path.split("/")[-1]
    literal = "".join(f"[{c}]" if c in "*?" else c for c in last if c not in "[]!^-\\")
    if literal == last:
        assert matches(f"**/{literal}", path)


@given(paths)
def test_one_star_stays_within_one_name(path):
    assert matches("*", path) == ("/" not in path)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("conv*", "conv2d_1", True),
        ("conv*", "block/conv2d", False),
        ("block_?/attention", "block_1/attention", True),
        ("block_?/attention", "block_12/attention", False),
        ("block_[12]/*", "block_2/query", True),
        ("block_[!12]/*", "block_2/query", False),
        ("block_[1-3]", "block_2", True),
        ("**/query", "query", True),
        ("**/query", "a/b/query", True),
        ("**/query", "a/b/my_query", False),
        ("a/**", "a/b/c", True),
        ("a/**", "a", False),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("dense.1", "denseX1", False),
        ("a+b", "a+b", True),
    ],
)
def test_globs(pattern, path, expected):
    assert matches(pattern, path) is expected


def test_default_takes_the_layers_one_level_down():
    found = select(layers("conv", "block", "block/dense", "out"), None)
    assert [layer.path for layer in found] == ["conv", "block", "out"]


def test_all_and_lists_keep_the_order_of_execution_and_take_each_once():
    available = layers("conv", "block/dense", "out")
    assert select(available, "all") == available
    assert select(available, ["out", "conv", "c*"]) == [available[0], available[2]]


def test_unknown_layers_are_named_with_the_nearest():
    with pytest.raises(UnknownLayerError, match=r"matches 'covn'.*'conv'"):
        select(layers("conv", "dense"), "covn")


def test_what_cannot_be_recorded_says_why():
    cell = LayerInfo("lstm/cell", "LSTMCell", 1, (), "it runs inside a loop: record 'lstm'")
    with pytest.raises(SelectionError, match=r"'lstm/cell' cannot be recorded.*record 'lstm'"):
        select([*layers("lstm"), cell], "lstm/cell")
    assert [layer.path for layer in select([*layers("lstm"), cell], "**")] == ["lstm"]


@pytest.mark.parametrize("selection", [[], [3], "[z-a]"])
def test_malformed_selections(selection):
    with pytest.raises(SelectionError):
        select(layers("conv"), selection)


def test_classes_functions_and_exclusions():
    available = layers("conv", "block", "block/dense", "out")
    available[1] = LayerInfo("block", "Block", 0, available[1].outputs)

    def chosen(selection):
        return [layer.path for layer in select(available, selection)]

    assert chosen("type:Block") == ["block"]
    assert chosen("type:D*") == ["conv", "block/dense", "out"]
    assert chosen(lambda layer: layer.path.endswith("e")) == ["block/dense"]
    assert chosen(["!out"]) == ["conv", "block"]
    assert chosen(["all", "!type:Dense"]) == ["block"]
    assert chosen(["**", "!block/**", "!conv"]) == ["block", "out"]
    assert chosen([lambda layer: layer.depth == 1, "type:Block"]) == ["block", "block/dense"]
    with pytest.raises(UnknownLayerError, match="'Block'"):
        chosen("type:Blok")
    with pytest.raises(UnknownLayerError, match="matches 'nothing'"):
        chosen(["all", "!nothing"])
    with pytest.raises(SelectionError, match="takes no layer"):
        chosen(["out", "!out"])
    with pytest.raises(SelectionError, match="takes none of the 4"):
        chosen(lambda layer: False)


def test_inputs_and_outputs_of_the_model_are_taken_only_by_name():
    available = layers("conv", "image")
    available[1] = LayerInfo("image", "InputLayer", 0, available[1].outputs, is_boundary=True)
    assert [layer.path for layer in select(available, None)] == ["conv"]
    assert [layer.path for layer in select(available, "all")] == ["conv"]
    assert [layer.path for layer in select(available, "image")] == ["image"]
    assert [layer.path for layer in select(available, "type:InputLayer")] == ["image"]


def test_a_layer_called_all_is_found_by_its_name():
    available = layers("all", "conv")
    assert select(available, "all") == available[:1]
