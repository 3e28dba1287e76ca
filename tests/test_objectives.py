import numpy as np
import pytest

from actscope.errors import DataError, GradientError
from actscope.objectives import objective_of, with_targets


def test_the_words_for_classes():
    assert objective_of(None, None, 3) is None
    assert objective_of("predicted", None, 3).targets is None
    for classes in (2, np.int64(2), [2, 2, 2], np.full(3, 2)):
        objective = objective_of(classes, None, 3)
        assert objective.kind == "class"
        np.testing.assert_array_equal(objective.targets.arrays[0], [2, 2, 2])


def test_losses_and_functions():
    assert objective_of("loss", np.zeros(3), 3).kind == "loss"
    objective = objective_of("loss", {"a": np.zeros(3), "b": np.ones((3, 2))}, 3)
    assert objective.targets.names == ("a", "b")
    assert objective_of(np.sum, None, 3).function is np.sum
    assert objective_of("loss", [np.zeros(3), np.zeros(3)], 3).targets.single is False
    assert objective_of("loss", [1, 2, 3], 3).targets.single is True


@pytest.mark.parametrize(
    ("gradients", "y", "error", "text"),
    [
        ("loss", None, GradientError, "needs y="),
        ("strongest", None, GradientError, "'predicted', 'loss'"),
        (1.5, None, GradientError, "name no classes"),
        ([[1], [2], [3]], None, GradientError, "name no classes"),
        ([1, 2], None, DataError, "2 labels for 3 samples"),
        ("predicted", [1, 2, 3], GradientError, "leave it out"),
        (None, [1, 2, 3], GradientError, "gradients='loss'"),
        ("loss", [1, 2], DataError, "for 3 samples"),
        ("loss", 5, DataError, "for 3 samples"),
    ],
)
def test_what_does_not_go_says_why(gradients, y, error, text):
    with pytest.raises(error, match=text):
        objective_of(gradients, y, 3)


def test_targets_follow_their_samples():
    batches = iter([(np.zeros((2, 1)),), (np.zeros((3, 1)),)])
    found = list(with_targets(batches, [np.arange(9), np.arange(9) * 2], start=4))
    assert [batch[1].tolist() for batch in found] == [[4, 5], [6, 7, 8]]
    assert [batch[2].tolist() for batch in found] == [[8, 10], [12, 14, 16]]
