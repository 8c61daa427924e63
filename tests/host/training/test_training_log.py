# SPDX-License-Identifier: Apache-2.0
"""The console and the log of a training."""

import io
import json
import time

from backspike.host.training.training_log import TrainingLog


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_passing_lines_are_replaced():
    out = Terminal()
    with TrainingLog(out=out) as log:
        log.say("begin")
        log.say("1 of 2", passing=True)
        log.say("2 of 2", passing=True)
        log.say("done")
        log.say("more", passing=True)
    assert out.getvalue() == "begin\n\r\x1b[K1 of 2\r\x1b[K2 of 2\r\x1b[Kdone\n\r\x1b[Kmore\n"


def test_elsewhere_every_line_stays():
    out = io.StringIO()
    with TrainingLog(out=out) as log:
        log.event("a", "1 of 2", passing=True, count=1)
        log.say("done")
    assert out.getvalue() == "1 of 2\ndone\n"


def test_the_log_is_written_at_once_and_goes_on(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    with TrainingLog(path, out=io.StringIO()) as log:
        assert not path.exists()
        log.event("a", count=1)
        found = json.loads(path.read_text())
        assert abs(found.pop("time") - time.time()) < 60
        assert found == {"event": "a", "count": 1}
    for anew, events in ((False, ["a", "b"]), (True, ["b"])):
        with TrainingLog(path, anew=anew, out=io.StringIO()) as log:
            log.event("b")
        assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == events
