from click.testing import CliRunner
from drawn_forms import write, write_form

from picodet.cli import main


def run(*arguments):
    return CliRunner().invoke(main, ["data", "convert", *map(str, arguments)])


def test_it_writes_coco_and_tells_what_it_read(tmp_path):
    folder = write_form(tmp_path / "yolo", "yolo")
    done = run(folder, tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "YOLO, train: 6 images (1 without boxes)" in done.stderr
    assert f"written {tmp_path / 'out' / 'annotations' / 'instances_val2017.json'}" in done.stdout
    assert len(list((tmp_path / "out" / "train2017").iterdir())) == 6
    again = run(folder, tmp_path / "out")
    assert again.exit_code == 1
    assert "exists already; expected a new folder" in again.stderr


def test_bad_boxes_are_an_error_or_dropped(tmp_path):
    folder = write_form(tmp_path / "yolo", "yolo")
    write(folder / "labels" / "val" / "val_0.txt", "7 0.5 0.5 0.5 0.5\n")
    done = run(folder, tmp_path / "out")
    assert done.exit_code == 1
    assert "labels/val/val_0.txt:1: class 7; expected 0 to 2" in done.stderr
    assert not (tmp_path / "out").exists()
    done = run(folder, tmp_path / "out", "--bad-boxes", "drop")
    assert done.exit_code == 0, done.output
    assert "left out for 1 problem: (1) labels/val/val_0.txt:1" in done.stderr


def test_the_output_may_not_lie_over_the_input(tmp_path):
    folder = write_form(tmp_path / "voc", "voc")
    assert run(folder, folder).exit_code == 1
    assert run(folder, folder / "data.yaml" / "x").exit_code == 1
