import pytest
import torch
from torch import nn

from coursekit.classroom import predictions
from coursekit.cli.main import main
from coursekit.data.augment import crop_flip
from coursekit.data.batches import Batches
from coursekit.errors import DataError, UsageError

ROWS = 20


class BrightestRow(nn.Module):
    """The number of the brightest row of pixels as the class; in train mode always 0."""

    def forward(self, images):
        return images.sum((1, 3)) * (not self.training)


def images_of(labels: list[int]) -> Batches:
    images = torch.zeros(len(labels), 10, 10, dtype=torch.uint8)
    images[torch.arange(len(labels)), labels] = 255
    return Batches(images, torch.zeros(len(labels)).long(), batch_size=7)


@pytest.fixture
def lines():
    return ["Id,Label", *(f"{i},{i % 10}" for i in range(ROWS))]


@pytest.fixture
def fault_of(tmp_path):
    """What `validate` says of a file with these lines."""

    def say(lines: list[str]) -> str:
        path = tmp_path / "predictions.csv"
        path.write_text("\n".join([*lines, ""]))
        with pytest.raises(DataError) as error:
            predictions.validate(path, rows=ROWS)
        text = str(error.value)
        assert "\n" not in text
        assert text.startswith("predictions.csv, row ")
        return text.removeprefix("predictions.csv, row ")

    return say


def test_from_model_to_file_and_back_in_the_order_of_the_images(tmp_path):
    labels = torch.randint(0, 10, (ROWS,), generator=torch.Generator().manual_seed(0)).tolist()
    model = BrightestRow().train()
    predicted = predictions.predict(model, images_of(labels))
    assert model.training
    predictions.write(tmp_path / "new" / "predictions.csv", predicted)
    assert predictions.validate(tmp_path / "new" / "predictions.csv", rows=ROWS) == labels
    assert (tmp_path / "new" / "predictions.csv").read_text().startswith(f"Id,Label\n0,{labels[0]}\n1,{labels[1]}\n")


@pytest.mark.parametrize("change", [dict(shuffle=True), dict(augment=crop_flip)])
def test_shuffled_and_augmented_batches_are_refused(change):
    batches = images_of([1, 2, 3])
    vars(batches).update(change)
    with pytest.raises(UsageError, match="no shuffle, no augment"):
        predictions.predict(BrightestRow(), batches)


class OneIsLost(BrightestRow):
    """For images of class 3 one of the ten outputs is no number."""

    def forward(self, images):
        return super().forward(images).masked_fill(images[:, 0, 3:4, 0] * torch.eye(10)[5] > 0, torch.nan)


def test_one_output_that_is_no_number_is_one_too_many():
    with pytest.raises(DataError, match="not finite for 2 of 4 images, first for image 1; its training has diverged"):
        predictions.predict(OneIsLost(), images_of([0, 3, 1, 3]))
    assert predictions.predict(OneIsLost(), images_of([0, 1])).tolist() == [0, 1]


def test_only_integers_are_written(tmp_path):
    with pytest.raises(TypeError):
        predictions.write(tmp_path / "predictions.csv", torch.tensor([1.0, 2.5]))
    assert not list(tmp_path.iterdir())


def test_ten_thousand_rows_are_the_rule_and_windows_line_ends_no_fault(tmp_path, lines):
    path = tmp_path / "predictions.csv"
    path.write_bytes("\r\n".join(lines).encode())
    assert predictions.validate(path, rows=ROWS) == [i % 10 for i in range(ROWS)]
    with pytest.raises(DataError, match=f"row {ROWS + 2}: missing; predict 10,000 images, and {ROWS} rows are here"):
        predictions.validate(path)


@pytest.mark.parametrize("header", ["id,label", "Id;Label", "Id,Label,Name", "0,3", "\ufeffId,Label"])
def test_wrong_header(fault_of, lines, header):
    assert fault_of([header, *lines[1:]]) == f"1: the header is {header!r}; it must be 'Id,Label'"


def test_shuffled_rows(fault_of, lines):
    lines[5], lines[9] = lines[9], lines[5]
    assert fault_of(lines) == "6: Id is '8' where 4 belongs; predict every image once, without shuffling"


def test_id_twice(fault_of, lines):
    lines[8] = lines[7]
    assert fault_of(lines).startswith("9: Id is '6' where 7 belongs")


def test_row_left_out_within(fault_of, lines):
    del lines[11]
    assert fault_of(lines).startswith("12: Id is '11' where 10 belongs")


def test_row_left_out_at_the_end(fault_of, lines):
    assert fault_of(lines[:-1]) == f"{ROWS + 1}: missing; predict 20 images, and 19 rows are here"


def test_nothing_but_the_header(fault_of):
    assert fault_of(["Id,Label"]).startswith("2: missing")


def test_too_many_rows(fault_of, lines):
    assert fault_of([*lines, "20,3", "21,3"]) == f"{ROWS + 2}: too many; keep 20 images, and 22 rows are here"


@pytest.mark.parametrize("label", ["10", "-1", "3.0", "", "cat", " 3", "3 ", "03", "³", "nan"])
def test_label_out_of_range_or_no_integer(fault_of, lines, label):
    lines[4] = f"3,{label}"
    assert fault_of(lines) == f"5: Label is {label!r}; write the class as an integer from 0 to 9"


@pytest.mark.parametrize("line", ["3", "", "3,1,0.9", "3;1"])
def test_not_two_fields(fault_of, lines, line):
    lines[4] = line
    assert fault_of(lines).startswith(f"5: {line!r} is not Id,Label")


def test_no_utf_8_and_no_file(tmp_path, lines):
    path = tmp_path / "predictions.csv"
    path.write_bytes("\n".join([*lines[:6], "5,è"]).encode("latin-1"))
    with pytest.raises(DataError, match=r"predictions.csv, row 7: not UTF-8"):
        predictions.validate(path, rows=ROWS)
    with pytest.raises(DataError, match=r"cannot read .*none.csv: No such file"):
        predictions.validate(tmp_path / "none.csv")


def test_command_line_says_yes_or_which_row(tmp_path, capsys):
    path = tmp_path / "predictions.csv"
    predictions.write(path, [3] * 10_000)
    assert main(["predictions", str(path)]) == 0
    assert "10,000" in capsys.readouterr().out
    predictions.write(path, [3] * 9_999)
    assert main(["predictions", str(path)]) == 3
    assert capsys.readouterr().err.startswith("error: predictions.csv, row 10001: missing")
