"""Published numbers, verdicts, and the small files between the notebooks that measure and the page that shows."""

import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from coursekit import files
from coursekit.analysis import plots
from coursekit.errors import UsageError
from coursekit.notebook import show
from coursekit.runs.store import Result
from coursekit.scorecard import compare, measured
from coursekit.scorecard.measured import Score
from coursekit.scorecard.published import PUBLISHED, Published

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _profile(monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "full")


def result(seed=0, epochs=30, source="CIFAR-10", device="CPU (2 threads)", **experiment):
    experiment = dict(epochs=epochs, seed=seed) | experiment
    key = f"{seed:x}" * 64
    return Result(key, "", "ok", experiment, [], [], {}, {"source": source, "device": device, "profile": "full"})


def score(*values, id="S4.L1.h", note=""):
    rows = [list(np.atleast_1d(value)) for value in values]
    return Score(id, rows, len(rows), "CPU", [], note)


def row(id):
    return next(row for row in compare.rows() if row.published.id == id)


# What the sources say


def test_every_number_has_a_name_of_its_own_and_a_notebook_that_records_it():
    assert len({published.name for published in PUBLISHED.values()}) == len(PUBLISHED) >= 51
    assert all(id == published.id for id, published in PUBLISHED.items())
    assert {published.notebook for published in PUBLISHED.values()} <= set(range(1, 9))


def test_series_have_a_value_and_a_tolerance_for_each_epoch():
    for published in PUBLISHED.values():
        assert len(published.tolerance) == len(published.values)
        if "epoch" in published.agreed or published.id.endswith((".loss", ".accuracy")):
            assert len(published.values) == published.epochs
        if published.limits:
            assert published.limits[0] <= published.values[0] <= published.limits[1]


# Deviations


@given(st.floats(0.01, 10), st.floats(0.001, 1), st.floats(-3, 3), st.booleans())
def test_within_the_tolerance_is_within_one(value, tolerance, times, relative):
    assume(abs(abs(times) - 1) > 1e-6)
    published = Published("x", 1, "x", (value,), (tolerance,), relative)
    size = tolerance * value if relative else tolerance
    [deviation] = published.deviations([value + times * size])
    assert deviation == pytest.approx(times, abs=1e-6)


@given(st.floats(0, 1), st.floats(0, 0.49), st.floats(0.51, 1))
def test_within_limits_is_within_one(ours, low, high):
    [deviation] = Published("x", 1, "x", (0.5,), (1,), limits=(low, high)).deviations([ours])
    assume(min(abs(ours - low), abs(ours - high)) > 1e-6)
    assert (abs(deviation) <= 1) == (low <= ours <= high)
    assert deviation == 0 or (deviation > 0) == (ours > 0.5)


def test_the_edge_of_a_tolerance_is_inside_whatever_the_last_bit_says():
    published = PUBLISHED["S4.L1.g.best"]
    assert published.deviations([0.6764]) == [1]
    assert published.deviations([0.6364]) == [-1]
    assert published.deviations([0.6765]) > 1


def test_one_sided_limits():
    assert PUBLISHED["S4.L2.c.i.1"].deviations([0.01]) == [0]
    assert PUBLISHED["S4.L2.c.i.1"].deviations([0.15]) == [1]
    assert PUBLISHED["S4.L2.c.i.1"].deviations([0.2]) > 1
    assert PUBLISHED["S4.L3.b"].deviations([0.99]) == [0]
    assert PUBLISHED["S4.L3.b"].deviations([0.90]) == [-1]


def test_exact_means_exact():
    assert PUBLISHED["S2.1C"].deviations([1]) == [0]
    assert PUBLISHED["S2.1C"].deviations([0.999]) == [-math.inf]
    assert list(PUBLISHED["S2.3B.parameters"].deviations([545_098, 1_080_042, 1_259_787])) == [0, 0, math.inf]


def test_no_number_is_infinitely_far_off_and_no_tolerance_is_none():
    assert PUBLISHED["S4.L1.h"].deviations([math.nan]) == [math.inf]
    assert np.isnan(PUBLISHED["S2.2A.seconds"].deviations([1, 2, 3, 4])).all()
    assert np.isnan(PUBLISHED["S2.2A.Adam.loss"].deviations([0.4] * 20)[10:]).all()
    assert len(PUBLISHED["S2.2A.Adam.loss"].deviations([0.4] * 3)) == 3


def test_a_shape_is_compared_without_its_scale():
    published = PUBLISHED["S2.3A.loss"]
    assert abs(published.deviations(3 * np.array(published.values) + 1)) < 1e-9
    assert published.deviations(published.values[::-1]) > 1
    for hopeless in ([1.4, 1.0], [1.0] * 20, [math.nan] * 20):
        assert published.deviations(hopeless) > 1


# Verdicts


@pytest.mark.parametrize(
    ("id", "values", "verdict"),
    [
        ("S4.L1.h", [0.70], "reproduced"),
        ("S4.L1.h", [0.60, 0.80], "reproduced"),  # the mean counts, the spread is shown beside it
        ("S4.L1.h", [0.65], "outside"),
        ("S4.L1.h", [math.nan], "outside"),
        ("S1.1.2.tanh", [0.97, 0.98, 0.5], "reproduced"),  # the median
        ("S1.1.2.ReLU", [0.5, 0.5, 0.97], "reproduced"),  # the best seed
        ("S2.1C", [0.75, 1.0], "reproduced"),
        ("S2.1C", [0.75, 0.75], "outside"),
        ("S2.2A.seconds", [[1, 2, 3, 4]], "no tolerance"),
    ],
)
def test_verdicts(id, values, verdict):
    assert compare.judge(PUBLISHED[id], score(*values, id=id)).verdict == verdict


@pytest.mark.parametrize(
    ("id", "edges", "step"),
    [
        ("S4.L1.h", [0.6778, 0.7178], 1e-4),  # 0.6978 ± 0.02
        ("S4.L2.b.ii.plain", [0.4346, 0.5546], 1e-4),  # 0.4946 ± 0.06
        ("S4.L3.a.ResNet", [0.86, 0.885], 1e-4),
        ("S4.L3.b", [0.9, None], 1e-4),
        ("S4.L2.c.i.1", [None, 0.15], 1e-4),
        ("S2.1C", [1, 1], 1e-4),
    ],
)
def test_the_edges_of_a_tolerance_belong_to_it_and_nothing_beyond(id, edges, step):
    for edge, beyond in zip(edges, (-step, step), strict=True):
        if edge is not None:
            assert compare.judge(PUBLISHED[id], score(edge, id=id)).verdict == "reproduced"
            assert compare.judge(PUBLISHED[id], score(edge + beyond, id=id)).verdict == "outside"


@pytest.mark.parametrize("share", [-0.1, 0.1])
def test_the_edge_of_a_tolerance_in_percent_is_that_share_of_each_value(share):
    series = np.array(PUBLISHED["S2.1A.loss"].values)
    judged = [compare.judge(PUBLISHED["S2.1A.loss"], score(series * (1 + times * share))) for times in (1, 1.01)]
    assert [row.verdict for row in judged] == ["reproduced", "outside"]
    assert judged[0].deviations.tolist() == pytest.approx([10 * share] * len(series))


def test_a_single_epoch_outside_is_outside():
    series = np.array(PUBLISHED["S2.1A.accuracy"].values)
    assert compare.judge(PUBLISHED["S2.1A.accuracy"], score(series + 0.004)).verdict == "reproduced"
    for off in (0.006, -0.006):
        moved = series + off * (np.arange(len(series)) == 3)
        assert compare.judge(PUBLISHED["S2.1A.accuracy"], score(moved)).verdict == "outside"


def test_epochs_without_a_tolerance_do_not_count():
    series = np.array(PUBLISHED["S2.2A.RMSprop.loss"].values)
    series[10:] *= 2
    assert compare.judge(PUBLISHED["S2.2A.RMSprop.loss"], score(series)).verdict == "reproduced"


def test_not_run():
    assert {row.verdict for row in compare.rows()} == {"not run"}


# Recording


def test_record_and_read_again(capsys):
    compare.record("S4.L1.h", [0.70, 0.69123456, 0.71], [result(seed) for seed in range(3)])
    found = row("S4.L1.h")
    assert found.score == Score(
        "S4.L1.h",
        [[0.70], [0.691235], [0.71]],
        3,
        "CPU (2 threads)",
        ["0" * 8, "1" * 8, "2" * 8],
    )
    line = compare.table().loc["SimpleNN with rate drops"]
    assert line.published == "0.6978 ± 0.02"
    assert line.ours == "0.7004 ± 0.0094"
    assert (line.notebook, line.seeds, line.verdict) == ("07", "3", "reproduced, +0.1")
    assert "0.7004 ± 0.0094, published 0.6978 ± 0.02: reproduced, +0.1" in capsys.readouterr().out


def test_a_note_is_shown_beside_the_verdict(capsys):
    compare.record("S4.L1.h", [0.70], [result()], note="seeds raised after a first look")
    assert "reproduced, +0.1 (seeds raised after a first look)" in capsys.readouterr().out
    assert compare.table().loc["SimpleNN with rate drops"].verdict.endswith("(seeds raised after a first look)")


def test_record_a_series(capsys):
    series = np.array(PUBLISHED["S2.1A.loss"].values)
    series[4] *= 1.2
    compare.record("S2.1A.loss", [series, series], epochs=10)
    line = compare.table().loc["MLP with Adam: loss"]
    assert (line.published, line.ours) == ("0.4359 … 0.0280 ± 10 %", "0.4359 … 0.0280")
    assert line.verdict == "outside, 1/10, +2.0"


def test_whole_numbers_stay_whole():
    compare.record("S2.3B.parameters", [[545_098, 1_080_042, 1_259_786]])
    assert row("S2.3B.parameters").verdict == "reproduced"
    assert compare.table().loc["CNN_A, CNN_B, CNN_C: parameters"].ours == "545,098, 1,080,042, 1,259,786"


@pytest.mark.parametrize(
    "given",
    [
        dict(runs=[result(epochs=30), result(1, epochs=12)]),
        dict(runs=[result(epochs=29)]),
        dict(runs=[result(), result(1, epochs=29)]),
        dict(epochs=29),
        dict(runs=[result(train_size=10_000)]),
        dict(runs=[result(), result(1, train_size=10_000)]),
        dict(epochs=12),
    ],
)
def test_a_cut_protocol_is_not_recorded_and_leaves_what_is_there(given, capsys):
    compare.record("S4.L1.h", [0.6978], **given)
    assert row("S4.L1.h").verdict == "not run"
    said = capsys.readouterr().out
    assert "not recorded" in said
    assert ("10,000 images" in said) or (" of 30 epochs" in said)
    compare.record("S4.L1.h", [0.70], [result()])
    compare.record("S4.L1.h", [0.6978], **given)
    assert row("S4.L1.h").ours == [0.70]


@pytest.mark.parametrize("epochs", [30, 31])
def test_a_protocol_that_was_run_to_its_end_is_judged(epochs):
    compare.record("S4.L1.h", [0.6978], [result(epochs=epochs)])
    assert row("S4.L1.h").verdict == "reproduced"


def test_all_seeds_count_and_their_number_can_be_given():
    compare.record("S4.L1.h", [0.70, 0.70, 0.62], [result(seed) for seed in range(3)])
    assert (row("S4.L1.h").verdict, row("S4.L1.h").score.seeds) == ("outside", 3)
    compare.record("S4.L1.h", [0.70], [result(seed) for seed in range(3)], seeds=3)
    assert (row("S4.L1.h").verdict, row("S4.L1.h").score.seeds) == ("reproduced", 3)
    assert compare.table().loc["SimpleNN with rate drops"].ours == "0.7000"  # no spread of one number


def test_recalled_results_bring_their_device_and_data_but_no_epochs():
    recalled = result(device="NVIDIA H200")
    del recalled.experiment["epochs"]
    compare.record("S4.L1.h", [0.6978], [recalled], epochs=30)
    assert row("S4.L1.h").verdict == "reproduced"
    assert row("S4.L1.h").score.device == "NVIDIA H200"
    with pytest.raises(UsageError, match="how many epochs"):
        compare.record("S4.L1.h", [0.6978], [recalled])


def test_epochs_of_the_runs_come_before_what_the_caller_says():
    compare.record("S4.L1.h", [0.6978], [result(epochs=12)], epochs=30)
    assert row("S4.L1.h").verdict == "not run"


def test_what_cannot_be_recorded():
    with pytest.raises(UsageError, match=r"S4\.L9"):
        compare.record("S4.L9", [0.7])
    with pytest.raises(UsageError, match="how many epochs"):
        compare.record("S4.L1.h", [0.7])


def scores_in(tmp_path):
    return sorted((tmp_path / "results").rglob("*.json"))


@pytest.mark.parametrize("why", ["profile", "source", "when"])
def test_nothing_is_recorded_from_sample_data(why, monkeypatch, tmp_path, capsys):
    if why == "profile":
        monkeypatch.setenv("COURSEKIT_PROFILE", "sample")
    source = "sample data drawn by code" if why == "source" else "CIFAR-10"
    compare.record("S4.L1.h", [0.7], [result(), result(1, source=source)], when=why != "when")
    assert scores_in(tmp_path) == []
    assert "not recorded" in capsys.readouterr().out
    compare.show()
    said = capsys.readouterr().out
    assert f"{len(PUBLISHED)} not run" in said
    assert ("Sample data are not recorded" in said) == (why == "profile")


def test_a_replay_leaves_the_file_alone(tmp_path, monkeypatch):
    def record():
        compare.record("S4.L1.h", [1 / 3, 2 / 3], [result(1), result(0)])
        [file] = scores_in(tmp_path)
        return file, file.read_bytes()

    file, before = record()
    assert file.relative_to(tmp_path) == Path("results/scores/S4.L1.h.json")
    monkeypatch.setattr(files, "write_bytes", lambda *_: pytest.fail("written again"))
    assert record() == (file, before)


def test_another_measurement_replaces_the_file(tmp_path):
    compare.record("S4.L1.h", [0.7], [result()])
    compare.record("S4.L1.h", [0.8], [result()])
    assert len(scores_in(tmp_path)) == 1
    assert row("S4.L1.h").ours == [0.8]


def a_number_typed_in(path):
    path.write_text(path.read_text().replace("0.8", "0.7"))


def a_field_too_few(path):
    text = '{"id":"S4.L1.h"}'
    path.write_text(f'{{"sha256":"{files.sha256(text.encode())}","score":{text}}}\n')


DAMAGE = {
    "a number typed in": a_number_typed_in,
    "half a file": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "an empty file": lambda path: path.write_bytes(b""),
    "no text": lambda path: path.write_bytes(b"\xff\xfe,"),
    "other JSON": lambda path: path.write_text('{"a": 1}'),
    "a field too few": a_field_too_few,
}


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_score_is_one_line_and_not_run(harm, tmp_path, capsys):
    compare.record("S4.L1.h", [0.8], [result()])
    compare.record("S4.L2.a", [0.7], [result()])
    [path, _] = scores_in(tmp_path)
    harm(path)
    assert [found.published.id for found in compare.rows() if found.score] == ["S4.L2.a"]
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: score S4.L1.h.json is damaged")
    compare.record("S4.L1.h", [0.8], [result()])
    assert row("S4.L1.h").ours == [0.8]


# Showing


def test_show_gives_table_and_figure(monkeypatch):
    compare.record("S4.L1.h", [0.70], [result()])
    compare.record("S4.L2.a", [0.50], [result(device="NVIDIA H200")])
    compare.record("S4.L2.b.i", [0.50], [result(epochs=3)])
    shown = []
    monkeypatch.setattr(show, "_show", lambda bundle, metadata: shown.append((bundle, metadata)))
    compare.show()
    (table, said), _, (figure, drawn), _ = shown
    total = f"1 reproduced, 1 outside, {len(PUBLISHED) - 2} not run"
    assert total in said["caption"]
    assert total in drawn["caption"]
    assert "CPU (2 threads), NVIDIA H200" in said["caption"]
    assert drawn["figure"] == "08-scorecard"
    assert "image/svg+xml" in figure
    assert said["table"] == "08-scorecard-table"
    assert "SimpleNN with rate drops" in table["text/html"]


def test_the_picture_numbers_the_notebooks_and_has_a_readable_name_in_every_row():
    fig = compare._picture(compare.rows())
    names = [label.get_text() for ax in fig.axes for label in ax.get_yticklabels()]
    assert names == [published.name for published in PUBLISHED.values()]
    assert not [name for name in names if re.match(r"S\d\.", name)]
    texts = [text.get_text() for ax in fig.axes for text in ax.texts]
    numbers = {f"{published.notebook:02d}" for published in PUBLISHED.values()}
    assert set(texts) == numbers | {"not run"}
    plt.close("all")


def test_deviations_that_are_far_off_stand_at_the_edge():
    ax = plots.deviations({"a": ([0.5, math.nan], dict(marker="o")), "b": ([-math.inf, 9], dict(marker="o"))}, limit=3)
    drawn = {
        (line.get_marker(), float(x), float(y)) for line in ax.lines for x, y in zip(*line.get_data(), strict=True)
    }
    assert drawn == {("o", 0.5, 0), ("<", -3, 1), (">", 3, 1)}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    plt.close("all")


# What is committed

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_scores_are_those_of_the_committed_notebook(path, monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_RESULTS", str(ROOT / "results"))
    outputs = [output for cell in nbformat.read(path, 4).cells for output in cell.get("outputs", [])]
    said = [output.get("metadata", {}).get("coursekit", {}).get("score") for output in outputs]
    found = {each["id"]: Score(**each) for each in said if each}
    number = int(path.stem[:2])
    expected = {id for id, published in PUBLISHED.items() if published.notebook == number}
    assert set(found) <= expected
    for id, each in found.items():
        assert measured.load(id) == each, f"run `make notebooks`: {id} is of another run than {path.name}"


def test_committed_scores_are_known_whole_and_have_their_runs(monkeypatch, capsys):
    monkeypatch.setenv("COURSEKIT_RESULTS", str(ROOT / "results"))
    for path in (ROOT / "results" / "scores").rglob("*.json"):
        assert path.stem in PUBLISHED
        each = measured.load(path.stem)
        assert each is not None, path.name
        for key in each.runs:
            assert list((ROOT / "results").glob(f"*/*-{key}.json")), f"{path.name}: its run {key} is gone"


# --- in Markdown ------------------------------------------------------------------------------------------------------


def test_the_page_has_what_the_scores_say(monkeypatch):
    root = Path(__file__).parents[2]
    monkeypatch.setenv("COURSEKIT_RESULTS", str(root / "results"))
    between = (root / "docs" / "scorecard.md").read_text(encoding="utf-8").split(compare.MARK)[1]
    assert between == f"\n{compare.markdown()}", "run: coursekit scorecard --into docs/scorecard.md"


def test_the_page_has_a_line_for_each_published_number(tmp_path):
    lines = compare.markdown().splitlines()
    assert lines[0] == f"Of {len(PUBLISHED)} published numbers: {len(PUBLISHED)} not run."
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[4:]] == [row.name for row in PUBLISHED.values()]
    path = tmp_path / "text.md"
    path.write_text(f"before\n{compare.MARK}\nold\n{compare.MARK}\nafter\n")
    compare.write_into(path)
    assert path.read_text() == f"before\n{compare.MARK}\n{compare.markdown()}{compare.MARK}\nafter\n"
    path.write_text("no mark")
    with pytest.raises(UsageError, match="twice, with the scorecard between; found 0"):
        compare.write_into(path)
    assert path.read_text() == "no mark"
    with pytest.raises(UsageError, match=r"cannot read .*missing\.md: No such file"):
        compare.write_into(tmp_path / "missing.md")
