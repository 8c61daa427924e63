# SPDX-License-Identifier: Apache-2.0
"""Labels as numbers of classes, with names or without."""

import re

import numpy as np
import pytest

from backspike.host.data.sources.labels import check_classes, numbered


@pytest.mark.parametrize(
    ("labels", "classes", "numbers", "names"),
    [
        ([0, 2, 1], None, [0, 2, 1], ("0", "1", "2")),
        ([3, 1], None, [3, 1], ("0", "1", "2", "3")),
        ([3, 1], ("a", "b", "c"), [2, 0], ("a", "b", "c")),
        ([2, 1], ("a", "b", "c"), [2, 1], ("a", "b", "c")),
        (["b", "a", "b"], None, [1, 0, 1], ("a", "b")),
        (["10", "9", "-1"], None, [2, 1, 0], ("-1", "9", "10")),
        (["b", "a"], ("c", "b", "a"), [1, 2], ("c", "b", "a")),
        (["1", "2"], ("sick", "well"), [0, 1], ("sick", "well")),
        ([True, False], None, [1, 0], ("0", "1")),
        ([2, 1], ("1", "2", "3"), [1, 0], ("1", "2", "3")),
        ([2, 0], ("1", "2", "3"), [2, 0], ("1", "2", "3")),
    ],
)
def test_numbers_and_names(labels, classes, numbers, names):
    (found,), known = numbered([np.array(labels)], classes, "d")
    assert found.tolist() == numbers and known == names and found.dtype == np.int64


def test_parts_have_their_classes_in_common():
    found, names = numbered([np.array(["b"]), np.array(["a", "c"])], None, "d")
    assert [part.tolist() for part in found] == [[1], [0, 2]] and names == ("a", "b", "c")


@pytest.mark.parametrize(
    ("labels", "classes", "error", "text"),
    [
        ([], None, ValueError, "the data d must have samples, not none"),
        ([0.5], None, TypeError, "labels of the data d must be integers or words, not float64"),
        ([0, -1], None, ValueError, "labels of the data d must be 0 to 65535, not -1"),
        ([70000], None, ValueError, "labels of the data d must be 0 to 65535, not 70000"),
        ([0, 3], ("a", "b"), ValueError, "classes must be 4 names for the labels to 3 of the data d, not 2"),
        (["a", "x"], ("a", "b", "c"), ValueError, "labels of the data d must be among the classes a, b, c, not 'x'"),
        (["a", "x"], ("a", "b"), ValueError, "labels of the data d must be among the classes a, b, not 'x'"),
    ],
)
def test_labels_that_are_none(labels, classes, error, text):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        numbered([np.array(labels)], classes, "d")


def test_names_that_are_none():
    assert check_classes(["a", "b"]) == ("a", "b")
    with pytest.raises(ValueError, match=r"^classes must be different names, at least one, not \['a', 'a'\]$"):
        check_classes(["a", "a"])
    for wrong in ("ab", [1], [""], 5):
        with pytest.raises(TypeError, match=r"^classes must be a sequence of names, not "):
            check_classes(wrong)


def test_labels_of_classes_that_a_network_has_learned():
    (found,), _ = numbered([np.array([2, 1])], ("a", "b", "c"), "d", known=True)
    assert found.tolist() == [2, 1]
    for labels, names, text in (
        ([3, 1], "abc", "must be 0 to 2, the numbers of a, b, c, not 3: give these names"),
        (["x", "y", "z"], "abc", "must be among the classes a, b, c, not 'x'"),
        ([0, 1], "123", "must be among the classes 1, 2, 3, not '0'"),
    ):
        with pytest.raises(ValueError, match=f"^labels of the data d {re.escape(text)}$"):
            numbered([np.array(labels)], tuple(names), "d", known=True)
