import json
import math
from dataclasses import fields, replace
from pathlib import Path

import pytest

import coursekit
from coursekit import results
from coursekit.results import Result

KEY = "0123456789abcdef" * 4
RESULT = Result(
    key=KEY,
    name="Größe ×2",
    status="ok",
    experiment={"lr": 0.1, "model": {"call": "MLP", "args": [[4, 3]]}, "validation": None},
    history=[{"epoch": 1, "train_loss": 0.25}, {"epoch": 2, "train_loss": 1e-12}],
    probes=[{"step": 0, "gradient": 3.5}],
    metrics={"test_accuracy": 0.5, "counts": [1, 2, 3]},
    provenance={"device": "CPU (2 threads)", "seconds": 1.5},
)


def test_round_trip():
    path = results.save(RESULT)
    loaded = results.load(KEY)
    assert loaded == RESULT
    assert (RESULT.replayed, loaded.replayed) == (False, True)
    assert path.name == f"{KEY[:24]}.json"
    assert "replayed" not in path.read_text()


def test_missing():
    assert results.load(KEY) is None


def test_another_key_is_another_file():
    results.save(RESULT)
    assert results.load("f" * 64) is None


def test_saving_again_replaces():
    results.save(RESULT)
    results.save(replace(RESULT, status="diverged"))
    assert results.load(KEY).status == "diverged"
    assert len(list(results.folder().iterdir())) == 1


def test_numbers_keep_six_digits_wherever_they_are():
    number = 0.123456789
    results.save(
        replace(
            RESULT,
            history=[{"loss": number, "step": 12345678}],
            metrics={"curve": [number, (number, {"deep": number * 1e-9})], "seed": True},
            provenance={"seconds": 123456.789},
        )
    )
    loaded = results.load(KEY)
    assert loaded.history == [{"loss": 0.123457, "step": 12345678}]
    assert loaded.metrics == {"curve": [0.123457, [0.123457, {"deep": 1.23457e-10}]], "seed": True}
    assert loaded.provenance == {"seconds": 123457.0}


def test_saving_leaves_the_result_as_it_was():
    result = replace(RESULT, metrics={"loss": 0.123456789})
    results.save(result)
    assert result.metrics == {"loss": 0.123456789}


def test_numbers_that_are_none():
    results.save(replace(RESULT, history=[{"loss": math.nan, "other": math.inf, "third": -math.inf}]))
    row = results.load(KEY).history[0]
    assert math.isnan(row["loss"])
    assert (row["other"], row["third"]) == (math.inf, -math.inf)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit(path):
    path.write_text(path.read_text().replace('"test_accuracy":0.5', '"test_accuracy":0.9'))


def drop_a_field(path):
    """A file whose digest is right and whose content is not a result."""
    text = path.read_text().split(',"result":', 1)[1].rstrip("\n")[:-1]
    body = json.loads(text)
    del body["status"]
    text = json.dumps(body)
    path.write_text(f'{{"sha256":"{results.storage.sha256(text.encode())}","result":{text}}}\n')


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
    path = results.save(RESULT)
    harm(path)
    content = path.read_bytes()
    assert results.load(KEY) is None
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: result {path.name} is damaged")
    assert not path.exists()
    assert path.with_suffix(".corrupt").read_bytes() == content
    results.save(RESULT)
    assert results.load(KEY) == RESULT


def test_folder_is_that_of_the_environment_or_the_workbook_or_here(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSEKIT_RESULTS", str(tmp_path / "mine"))
    assert results.folder() == tmp_path / "mine"
    assert results.save(RESULT).parent == tmp_path / "mine"
    monkeypatch.delenv("COURSEKIT_RESULTS")
    workbook = Path(coursekit.__file__).parents[1] / "results"
    assert results.folder() == (workbook if workbook.is_dir() else Path("results"))
    monkeypatch.setattr(results, "__file__", str(tmp_path / "elsewhere" / "coursekit" / "results.py"))
    assert results.folder() == Path("results")
    (tmp_path / "elsewhere" / "results").mkdir(parents=True)
    assert results.folder() == tmp_path / "elsewhere" / "results"


def test_a_file_is_one_line_with_every_field(monkeypatch):
    text = results.save(RESULT).read_text()
    assert text.count("\n") == 1
    assert set(json.loads(text)["result"]) == {field.name for field in fields(Result)} - {"replayed"}
    assert "Größe ×2" in text
