"""What the table of a sweep says, and when it is drawn."""

import io
from dataclasses import replace

from coursekit.runs.progress import Live, summary, table
from coursekit.runs.store import Result

RUNS = [(name, seed) for name in ("fast", "slow") for seed in (0, 1)]


def result(*accuracies: float, status: str = "ok", replayed: bool = False) -> Result:
    rows = [{"val_accuracy": accuracy} for accuracy in accuracies]
    return Result("key", "it", status, {}, rows, [], {"test_accuracy": 0.5} if status == "ok" else {}, {}, replayed)


def test_the_table_counts_runs_and_knows_the_best():
    done = {("fast", 0): result(0.5, 0.75, 0.7), ("slow", 0): result(0.25), ("fast", 1): result(status="lost")}
    lines = table(done, [("slow", 1)], RUNS, 61.0).split("\n")
    assert [line.split() for line in lines] == [
        ["done", "running", "best"],
        ["fast", "2/2", "0.7500", "1", "lost"],
        ["slow", "1/2", "1", "0.2500"],
        ["all", "3/4", "1", "0.7500", "1", "lost,", "0:00:20", "left"],
    ]
    assert len({line.index("0.") for line in lines[1:]}) == 1, "columns do not stand below each other"


def test_what_was_replayed_says_nothing_about_the_time_that_is_left():
    done = {("fast", 0): result(0.5, replayed=True), ("fast", 1): result(0.5, replayed=True)}
    assert "left" not in table(done, RUNS[2:], RUNS, 10.0)
    done["slow", 0] = result(0.5)
    assert table(done, [], RUNS, 4000.0).endswith("1:06:40 left")


def test_a_run_without_validation_has_no_best():
    one = replace(result(), history=[{"train_loss": 1.0}])
    assert table({("fast", 0): one}, [], [("fast", 0)], 1.0).split("\n")[1].split() == ["fast", "1/1"]


def test_the_summary_is_over_the_seeds_that_ended_well():
    found = {"fast": [result(0.5, 0.7), result(0.9, 0.6)], "slow": [result(0.4), result(status="diverged")]}
    assert [line.split() for line in summary(found).split("\n")] == [
        ["ok", "best", "validation", "test"],
        ["fast", "2/2", "0.8000", "±", "0.1414", "0.5000", "±", "0.0000"],
        ["slow", "1/2", "0.4000", "0.5000"],
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_table_is_drawn_over_itself_elsewhere_a_line_for_each_run_that_ends():
    one = {("fast", 0): result(0.5)}
    for stream, draws in ((Terminal(), 4), (io.StringIO(), 1)):
        live = Live(stream)
        for done in ({}, {}, one, one):
            live(done, [], RUNS)
        text = stream.getvalue()
        assert text.count("all") == draws
        assert text.count("\033[4A\033[J") == (draws - 1 if draws == 4 else 0)
