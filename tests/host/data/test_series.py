# SPDX-License-Identifier: Apache-2.0
"""Series in ts files: what is read, and what is said about lines that are wrong."""

import re

import numpy as np
import pytest

from backspike.host.data.load import load, read

HEADER = "#comment\n@problemName P\n@timeStamps false\n@classLabel true no yes\n@data\n"
TRAIN = HEADER + "1,2,3:4,5,6:yes\n7,8:9,?:no\n"
TEST = HEADER + "1,2,3,4:1,1,1,1:no\n"


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "P_TRAIN.ts").write_text(TRAIN)
    (tmp_path / "P_TEST.ts").write_text(TEST)
    return tmp_path


def test_series_of_different_lengths(pair):
    for source in (pair, pair / "P_TRAIN.ts", pair / "P_TEST.ts"):
        data = read(source)
        assert (data.name, data.kind, data.shape, data.length, data.classes) == ("P", "series", (2,), 4, ("no", "yes"))
    nan = np.nan
    assert np.array_equal(data.train.rows[0], [[1, 4], [2, 5], [3, 6], [nan, nan]], equal_nan=True)
    assert np.array_equal(data.train.rows[1], [[7, 9], [8, nan], [nan, nan], [nan, nan]], equal_nan=True)
    assert data.train.labels.tolist() == [1, 0] and data.test.labels.tolist() == [0]
    assert load(pair, 4).shape == (16,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{path} must have series, not none"),
        ("1,x:no\n", "line 1 of {path} must be numbers joined by commas: could not convert string to float: 'x'"),
        ("1,2\n", "line 1 of {path} must have channels of one length, then :CLASS"),
        ("1,2:3:no\n", "line 1 of {path} must have channels of one length, then :CLASS"),
        ("\n1,inf:no\n", "line 2 of {path} must have finite numbers"),
        ("@timeStamps true\n", "{path} must have values alone, not time stamps (line 1)"),
        ("1,2:1,1:no\n1,2:no\n", "series 2 of {path} must have 2 channels, not 1"),
    ],
)
def test_what_is_wrong_is_named(pair, text, message):
    (pair / "P_TRAIN.ts").write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=pair / 'P_TRAIN.ts'))}$"):
        read(pair)


def test_files_that_are_not_there(pair):
    (pair / "Q_TRAIN.ts").touch()
    with pytest.raises(ValueError, match=r"must have one file \*_TRAIN.ts, not 2: name one, such as .*P_TRAIN.ts$"):
        read(pair)
    with pytest.raises(FileNotFoundError, match=r"Q_TEST.ts is not a file$"):
        (pair / "Q_TRAIN.ts").write_text(TRAIN)
        read(pair / "Q_TRAIN.ts")
