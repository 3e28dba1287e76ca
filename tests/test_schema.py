import pytest
from hypothesis import given
from hypothesis import strategies as st

from actscope.errors import FormatError
from actscope.store import schema
from recordings import output_info


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8, unique=True))
def test_groups_are_distinct_and_legal_whatever_the_paths(paths):
    tensors, groups = schema.plan_layers(
        output_info(path, (2,), order) for order, path in enumerate(paths)
    )
    assert len({tensor.group for tensor in tensors}) == len(paths)
    for tensor, path in zip(tensors, paths, strict=True):
        name = tensor.group.removeprefix("layers/")
        assert "/" not in name
        assert "\0" not in name
        assert name not in ("", ".", "..")
        assert groups[tensor.group][schema.PATH] == path


def test_clashing_paths_get_distinct_groups():
    tensors, _ = schema.plan_layers([output_info("a/b", (2,), 0), output_info("a.b", (2,), 1)])
    assert [tensor.group for tensor in tensors] == ["layers/a.b", "layers/a.b_1"]


def test_several_outputs_share_a_group_and_the_first_keeps_the_plain_name():
    tensors, _ = schema.plan_layers(
        [output_info("lstm", (4, 8), 0), output_info("lstm", (8,), 1, index=1)]
    )
    assert [tensor.dataset for tensor in tensors] == ["layers/lstm/output", "layers/lstm/output_1"]


def test_scales_are_shared_by_length_and_told_apart_otherwise():
    tensors, _ = schema.plan_layers(
        [
            output_info("layer", (4, 8), 0),
            output_info("layer", (8,), 1, index=1),
            output_info("layer", (5,), 2, index=2),
            output_info("layer", (6, 6), 3, index=3, axes=("channel", "channel")),
            output_info("layer", (2,), 4, index=4, axes=("output",)),
        ]
    )
    assert list(schema.scale_names(tensors)) == [
        ("token", "channel"),
        ("channel",),
        ("channel_1",),
        ("channel_2", "channel_3"),
        ("output_5",),
    ]


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("yxc"), st.integers(1, 3)), min_size=1, max_size=4),
        min_size=1,
        max_size=5,
    )
)
def test_every_scale_name_has_one_length(tensors):
    outputs = [
        output_info("l", tuple(n for _, n in axes), i, index=i, axes=tuple(a for a, _ in axes))
        for i, axes in enumerate(tensors)
    ]
    planned, _ = schema.plan_layers(outputs)
    lengths = {}
    for tensor, names in zip(planned, schema.scale_names(planned), strict=True):
        assert len(set(names)) == len(names)
        for name, length in zip(names, tensor.shape, strict=True):
            assert lengths.setdefault(name, length) == length


def test_versions():
    schema.check_version("1.0.0", "f")
    schema.check_version("1.7.0", "f")
    with pytest.raises(FormatError, match=r"version 2\.0\.0, newer.*upgrade"):
        schema.check_version("2.0.0", "f")
    for version in ("one", "", "1.0", "1.0.0.0", "1.²0.0", "1.0.x", "1." + "9" * 5000 + ".0"):
        with pytest.raises(FormatError, match="not a version"):
            schema.check_version(version, "f")
