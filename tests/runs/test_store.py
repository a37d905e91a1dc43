import json
import math
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest

import coursekit
from coursekit import files
from coursekit.runs import store
from coursekit.runs.store import Result

KEY = "0123456789abcdef" * 4
RESULT = Result(
    key=KEY,
    name="Größe ×2",
    status="ok",
    experiment={"model": {"call": "MLP", "sizes": [4, 3]}, "optimizer": "SGD", "validation": 5},
    history=[{"epoch": 1, "train_loss": 0.25}, {"epoch": 2, "train_loss": 1e-12}],
    probes=[{"step": 0, "gradient": 3.5}],
    metrics={"test_accuracy": 0.5, "counts": [1, 2, 3]},
    provenance={"device": "CPU (2 threads)", "seconds": 1.5},
)


def test_round_trip():
    path = store.save(RESULT)
    loaded = store.load(KEY)
    assert loaded == RESULT
    assert (RESULT.replayed, loaded.replayed) == (False, True)
    assert path == store.folder() / "runs" / "Gr-e-2-seed0-01234567.json"
    assert "replayed" not in path.read_text()


@pytest.mark.parametrize(
    ("probes", "in_the_file"),
    [
        ([], []),
        ([{"step": 0, "loss": 2.5}, {"step": 10, "loss": 1.5}], {"step": [0, 10], "loss": [2.5, 1.5]}),
        ([{"step": 0}, {"step": 10, "loss": 1.5}], [{"step": 0}, {"step": 10, "loss": 1.5}]),
    ],
)
def test_probes_of_one_kind_are_kept_by_column_and_read_as_rows(probes, in_the_file):
    result = replace(RESULT, probes=probes)
    path = store.save(result)
    assert files.read_json(path)["probes"] == in_the_file
    assert store.load(KEY).probes == store.read(path).probes == store.keep(result).probes == probes


def test_a_file_with_probes_by_row_is_read_too():
    body = {field.name: getattr(RESULT, field.name) for field in fields(RESULT) if field.name != "replayed"}
    files.write_json(store.path(RESULT), body)
    assert store.load(KEY) == RESULT


@pytest.mark.parametrize("part", ["probes", "history", "provenance"])
def test_a_file_that_lacks_a_part_is_set_aside(part, capsys):
    path = store.save(RESULT)
    files.write_json(path, {name: value for name, value in files.read_json(path).items() if name != part})
    assert store.load(KEY) is None
    assert f"result {path.name} is damaged" in capsys.readouterr().err


def test_columns_of_unequal_length_are_damage(capsys):
    path = store.save(RESULT)
    files.write_json(path, files.read_json(path) | {"probes": {"step": [0, 1], "loss": [1.0]}})
    assert store.load(KEY) is None
    assert "is damaged" in capsys.readouterr().err


def test_missing():
    assert store.load(KEY) is None


def test_another_key_is_another_file():
    store.save(RESULT)
    assert store.load("f" * 64) is None


def test_saving_again_replaces():
    store.save(RESULT)
    store.save(replace(RESULT, status="diverged"))
    assert store.load(KEY).status == "diverged"
    assert len(list(store.folder().rglob("*.json"))) == 1


def test_a_result_is_found_by_its_key_wherever_it_lies_and_stays_there(monkeypatch):
    monkeypatch.setenv("COURSEKIT_NOTEBOOK", "05_regularisation")
    path = store.save(RESULT)
    assert path.parent.name == "05_regularisation"
    monkeypatch.setenv("COURSEKIT_NOTEBOOK", "07_schedules")
    assert store.load(KEY) == RESULT
    assert store.save(replace(RESULT, name="another name")) == path
    other = replace(RESULT, key=KEY[:8] + "f" * 56)
    assert store.load(other.key) is None, "the first eight digits are not the key"
    assert store.save(other).parent.name == "07_schedules"
    assert (store.load(KEY).name, store.load(other.key).name) == ("another name", RESULT.name)


@pytest.mark.parametrize(
    ("name", "experiment", "file"),
    [
        ("lr 0.1, BN", {"optimizer": "SGD", "seed": 3}, "lr-0.1-BN-seed3"),
        ("../../etc/×", {"optimizer": "SGD"}, "etc-seed0"),
        ("", {"optimizer": "SGD"}, "run-seed0"),
        ("x" * 300, {"call": "fit", "seed": 2}, "x" * 60 + "-seed2"),
        ("solve", {"call": "solve"}, "solve"),
    ],
)
def test_names_of_files_say_variant_and_seed_and_are_safe(name, experiment, file):
    path = store.save(replace(RESULT, name=name, experiment=experiment))
    assert path == store.folder() / "runs" / f"{file}-01234567.json"


def test_what_is_asked_of_one_run():
    rows = [
        dict(epoch=1, loss=2.0, accuracy=0.5),
        dict(epoch=2, loss=1.0, accuracy=0.9),
        dict(epoch=3, loss=1.5, accuracy=0.7),
    ]
    run = replace(RESULT, history=rows)
    assert (run.last("loss"), run.best("loss"), run.best("accuracy"), run.final("test_accuracy")) == (
        1.5,
        1.0,
        0.9,
        0.5,
    )
    assert (run.first_epoch("accuracy", 0.6), run.first_epoch("loss", 1.0), run.first_epoch("loss", 0.9)) == (
        2,
        2,
        math.inf,
    )
    assert math.isnan(replace(run, metrics={}).final("test_accuracy"))
    assert math.isnan(replace(run, history=[]).last("loss"))


def test_numbers_keep_six_digits_wherever_they_are():
    number = 0.123456789
    store.save(
        replace(
            RESULT,
            history=[{"loss": number, "step": 12345678}],
            metrics={"curve": [number, (number, {"deep": number * 1e-9})], "seed": True},
            provenance={"seconds": 123456.789},
        )
    )
    loaded = store.load(KEY)
    assert loaded.history == [{"loss": 0.123457, "step": 12345678}]
    assert loaded.metrics == {"curve": [0.123457, [0.123457, {"deep": 1.23457e-10}]], "seed": True}
    assert loaded.provenance == {"seconds": 123457.0}


def test_saving_leaves_the_result_as_it_was():
    result = replace(RESULT, metrics={"loss": 0.123456789})
    store.save(result)
    assert result.metrics == {"loss": 0.123456789}


def test_numbers_that_are_none():
    store.save(replace(RESULT, history=[{"loss": math.nan, "other": math.inf, "third": -math.inf}]))
    row = store.load(KEY).history[0]
    assert math.isnan(row["loss"])
    assert (row["other"], row["third"]) == (math.inf, -math.inf)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path):
    path.write_text(path.read_text().replace('"test_accuracy": 0.5', '"test_accuracy": 0.9'))


def drop_a_field(path):
    """A file whose digest is right and whose content is not a result."""
    body = files.read_json(path)
    del body["status"]
    files.write_json(path, body)


DAMAGE = {
    "a flipped bit": flip,
    "an edited number": edit,
    "half a file": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "an empty file": lambda path: path.write_bytes(b""),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00,"),
    "other JSON": lambda path: path.write_text('{"a": 1}'),
    "a field too few": drop_a_field,
}


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_set_aside_and_counts_as_none(harm, capsys):
    path = store.save(RESULT)
    harm(path)
    content = path.read_bytes()
    assert store.load(KEY) is None
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: result {path.name} is damaged")
    assert not path.exists()
    assert path.with_suffix(".corrupt").read_bytes() == content
    store.save(RESULT)
    assert store.load(KEY) == RESULT


def test_folder_is_that_of_the_environment_or_the_workbook_or_here(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_RESULTS", str(tmp_path / "mine"))
    assert store.folder() == tmp_path / "mine"
    assert store.save(RESULT).parents[1] == tmp_path / "mine"
    monkeypatch.delenv("COURSEKIT_RESULTS")
    workbook = Path(coursekit.__file__).parents[1] / "results"
    assert store.folder() == (workbook if workbook.is_dir() else Path("results"))
    monkeypatch.setattr(store, "__file__", str(tmp_path / "elsewhere" / "coursekit" / "runs" / "store.py"))
    assert store.folder() == Path("results")
    (tmp_path / "elsewhere" / "results").mkdir(parents=True)
    assert store.folder() == tmp_path / "elsewhere" / "results"


def test_a_file_reads_well_and_has_every_field():
    lines = store.save(replace(RESULT, name="Größe ×2")).read_text().splitlines()
    assert '  {"epoch": 2, "train_loss": 1e-12}],' in lines, "a row of the history is a line"
    assert '  "device": "CPU (2 threads)",' in lines
    body = json.loads("\n".join(lines))
    assert set(body) - {"sha256"} == {field.name for field in fields(Result)} - {"replayed"}
    assert body["name"] == "Größe ×2"


def test_provenance_names_the_commit_of_the_code():
    commit = store.provenance(None)["commit"]
    assert re.fullmatch(r"([0-9a-f]{7,40}\+?)?", commit)
    in_git = (Path(coursekit.__file__).parents[1] / ".git").exists()
    assert bool(commit) == in_git
