# SPDX-License-Identifier: Apache-2.0
"""CSV tables: what is read, and what is said about lines that are wrong."""

import re

import pytest

from backspike.host.data.load import load, read

ROWS = [(0.5 * k, 10 - k, "yes" if k % 3 else "no") for k in range(20)]
TEXT = "length,width,kind\n" + "".join(f"{a},{b},{c}\n" for a, b, c in ROWS)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    return path


def rows_of(data):
    parts = data.train, data.test
    return sorted(
        (*map(float, row), data.classes[label]) for p in parts for row, label in zip(p.rows[:], p.labels, strict=True)
    )


def test_a_fifth_is_for_testing_and_every_row_is_there(table):
    data = read(table)
    assert (data.name, data.kind, data.shape, data.classes) == ("t", "values", (2,), ("no", "yes"))
    assert len(data.test) == 4 and rows_of(data) == sorted(ROWS)
    dataset = load(table, 5)
    assert dataset.encoder == "threshold+off" and dataset.inputs == 4 and dataset.steps == 5


def test_other_delimiters_and_columns(table):
    for delimiter in ";\t":
        table.write_text(TEXT.replace(",", delimiter))
        assert rows_of(read(table)) == sorted(ROWS)
    table.write_text("﻿a,Class,b\n1,x,2\n3,y,4\n5,x,6\n7,y,8\n9,x,0\n")
    data = read(table)
    assert data.classes == ("x", "y") and data.shape == (2,)
    table.write_text("a,b,c\n1,4,1\n2,5,1\n3,4,2\n")
    assert read(f"{table}:b").classes == ("4", "5")


def test_two_files_of_a_folder(tmp_path):
    (tmp_path / "train.csv").write_text("a,label\n1,x\n2,y\n")
    (tmp_path / "test.csv").write_text("a,label\n3,z\n")
    data = read(tmp_path)
    assert (
        data.classes == ("x", "y", "z")
        and data.test.labels.tolist() == [2]
        and data.train.rows[:].tolist() == [[1], [2]]
    )
    (tmp_path / "test.csv").write_text("b,label\n3,z\n")
    with pytest.raises(ValueError, match=r"test.csv must have the columns a, not b$"):
        read(tmp_path)
    (tmp_path / "test.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"test.csv is not a file$"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "{path} must begin with the names of two columns or more, joined by commas"),
        ("1,2,3\n4,5,6\n", "{path} must begin with the names of the columns, not with numbers"),
        ("a,b\n", "{path} must have rows of numbers, not a header alone"),
        ("a,b\n1,x\n1,2,y\n", "line 3 of {path} must have 2 values, not 3"),
        ("a,b\n1,x\nred,y\n", "line 3 of {path} must have finite numbers, not 'red'"),
        ("a,b\n1,x\n,y\n", "line 3 of {path} must have finite numbers, not ''"),
        ("a,b\nnan,x\n", "line 2 of {path} must have finite numbers, not 'nan'"),
        ("a,b\n1,\n", "line 2 of {path} must have a class in the column 'b'"),
    ],
)
def test_what_is_wrong_is_named(table, text, message):
    table.write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path=table))}$"):
        read(table)


def test_other_errors(table, tmp_path):
    with pytest.raises(ValueError, match=r"t.csv must be one of length, width, kind, not 'color'$"):
        read(f"{table}:color")
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"t.csv must be text in UTF-8: "):
        read(table)
    with pytest.raises(FileNotFoundError, match=r"nothing.csv is not a file$"):
        read(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match=r"^data must have 'x' behind a CSV file or a folder of events alone, not "):
        (tmp_path / "a.npz").touch()
        read(f"{tmp_path / 'a.npz'}:x")
