# SPDX-License-Identifier: Apache-2.0
"""The check of the pages' numbers: what it finds, what it lets pass, and that the pages have marks that it knows."""

import pytest

from tests import check_documents
from tests.check_documents import PAGES, ROOT, check_page, output_path

OUTPUT = """\
64-10 on 4 cores
training: 12.5 s
core  weights  used  cycles  layer
0,0   640/700  91 %  2732    0:0-9
training, 4,535 cycles per sample
"""
REPORT = """\
## Cycles

| run | network | cycles | simulated cycles per second |
|---|---|---|---|
| digits-4c1l | `64-10` | 3,630 | 16,000 |

## Engines

| run | engine | density |
|---|---|---|
| digits-4c1l | FP | 0.253 |
"""


def check(text, content):
    return [str(deviation) for deviation in check_page("page.md", text, lambda path: content)]


def test_lines_that_were_printed_pass():
    """Also with words left out; durations are those of another machine."""
    text = (
        "<!-- printed by: make sim -->\n\n    64-10 on 4 cores\n    core    weights  ...  cycles  layer\n"
        "    0,0     640/700  2732  0:0-9\n    ...\n\n    training: 3.9 s\n\nText of 17 words.\n"
    )
    assert check(text, OUTPUT) == []


def test_another_number_than_was_printed_is_found():
    text = "before\n\n<!-- printed by: make sim -->\n\n    64-10 on 4 cores\n    training, 3,946 cycles per sample\n"
    assert check(text, OUTPUT) == [
        "page.md:6: 'training, 3,946 cycles per sample' must be 'training, 4,535 cycles per sample', "
        "by build/gate/make-sim.txt"
    ]


@pytest.mark.parametrize("row", ["| 0,0 | 1 |", "| run | cycles |\n|---|---|\n| mlp-20c1l | 12 |"])
def test_a_table_without_a_run_of_the_report_is_an_error(row):
    with pytest.raises(ValueError, match=r"^build/r\.md must have a run of the table in line 2$"):
        check(f"<!-- rows of: build/r.md -->\n{row}\n", REPORT)


def test_cells_of_a_report_are_compared_by_run_engine_and_title():
    head = "<!-- rows of: build/r.md -->\n| run | simulated cycles per second | cycles |\n|---|---|---|\n"
    head += "| mlp-20c1l | 9 | 9 |\n"
    assert check(f"{head}| digits-4c1l | 9 | 3,630 |\n", REPORT) == []
    assert check(f"{head}| digits-4c1l | 9 | 3,631 |\n", REPORT) == [
        "page.md:5: '| digits-4c1l | 9 | 3,631 |' must be '| digits-4c1l | 9 | 3,630 |', by build/r.md"
    ]
    engines = "<!-- rows of: build/r.md -->\n| run | engine | density |\n|---|---|---|\n| digits-4c1l | FP | 0.254 |\n"
    assert len(check(engines, REPORT)) == 1


def test_a_column_that_the_report_does_not_have_is_an_error():
    text = "<!-- rows of: build/r.md -->\n| run | speed |\n|---|---|\n| digits-4c1l | 9 |\n"
    with pytest.raises(ValueError, match=r"^build/r\.md must have a column 'speed', as the table in line 4 has$"):
        check(text, REPORT)


def test_numbers_of_a_paragraph_are_whole_numbers():
    text = "<!-- numbers of: a.json units.tile lut dsp -->\nIt takes 15,540 LUT4\nand 6 multipliers.\n\nAnd 5,540.\n"
    assert check(text, '{"units": {"tile": {"lut": 5540, "dsp": 6}}}') == [
        "page.md:2: 'It takes 15,540 LUT4' must be 'a paragraph with 5,540 (units.tile.lut)', by a.json"
    ]


def test_a_mark_at_the_end_is_an_error():
    with pytest.raises(ValueError, match=r"^page\.md:2: there must be a block behind"):
        check("text\n<!-- printed by: make sim -->\n", OUTPUT)


def test_what_is_renewed_is_true_afterwards(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(check_documents, "ROOT", tmp_path)
    monkeypatch.setattr(check_documents, "PAGES", ("page.md",))
    page, output = tmp_path / "page.md", tmp_path / output_path("make sim")
    page.write_text("<!-- printed by: make sim -->\n\n    training, 3,946 cycles per sample\n\nafter\n")
    assert check_documents.main([]) == 1
    assert "build/gate/make-sim.txt must be there" in capsys.readouterr().err
    output.parent.mkdir(parents=True)
    output.write_text(OUTPUT)
    assert check_documents.main([]) == 1
    assert check_documents.main(["--renew"]) == 1
    assert check_documents.main([]) == 0
    assert page.read_text().endswith("    training, 4,535 cycles per sample\n\nafter\n")


def test_the_pages_have_marks_of_each_kind():
    marks = [mark for page in PAGES for mark in check_documents._MARK.findall((ROOT / page).read_text())]
    assert {kind for kind, _ in marks} == {"printed by", "rows of", "numbers of"}
    script = (ROOT / ".ci" / "run").read_text()
    assert all(f"try {command}\n" in script for kind, command in marks if kind == "printed by")
