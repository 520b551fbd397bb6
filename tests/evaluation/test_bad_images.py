"""Pictures that cannot be used, or are not what the annotations say."""

import pytest
from drawn_coco import read, write_annotations, write_dataset
from evaluating import detect, not_yet, same_results

from picodet.errors import ImageError
from picodet.evaluation.metrics import evaluate


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"2\.png: cannot be read: No such file"),
        (b"", r"2\.png: an empty file"),
        (b"no picture", r"2\.png: not a picture"),
    ],
)
def test_a_bad_picture_stops_before_the_long_work(ask, own, content, message):
    path = own / "val2017" / "2.png"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ImageError, match=message + ".*; --skip-bad leaves such pictures out"):
        detect(ask(dataset=own), detecting=not_yet)


def test_of_several_the_first_is_named(ask, own):
    for name in ("7.png", "2.png", "4.png"):
        (own / "val2017" / name).unlink()
    with pytest.raises(ImageError, match=r"7\.png: .*, and 2 more;"):  # the smallest id
        detect(ask(dataset=own, threads=3), detecting=not_yet)


def test_bad_pictures_can_be_left_out(ask, own, usual):
    (own / "val2017" / "7.png").unlink()
    (own / "val2017" / "2.png").write_bytes(b"no picture")
    found = detect(ask(dataset=own, skip_bad=True))
    assert found.notes == (
        "2 pictures left out as unusable, so that this AP is not COCO's: 7.png, 2.png",
    )
    assert found.caveat == "not COCO's: 2 pictures left out"
    kept = [p.id for p in usual.annotations.pictures if p.file not in ("2.png", "7.png")]
    assert [picture.id for picture in found.annotations.pictures] == kept
    (results,) = found.results
    assert same_results(results, usual.results[0].of_pictures(kept))
    rest = evaluate(usual.annotations.of_pictures(kept), results).stats
    assert evaluate(found.annotations, results).stats == rest
    assert rest != evaluate(usual.annotations, usual.results[0]).stats


def test_skip_bad_says_nothing_where_nothing_is_bad(ask, usual):
    assert detect(ask(skip_bad=True)).notes == usual.notes == ()


def test_if_all_are_bad_there_is_nothing_to_evaluate(ask, own):
    for picture in (own / "val2017").iterdir():
        picture.unlink()
    with pytest.raises(ImageError, match="none of the 10 pictures can be used"):
        detect(ask(dataset=own, skip_bad=True))


def test_pictures_of_another_size_are_noted(ask, own):
    content = read(own)
    for image in content["images"]:
        if image["file_name"] in ("1.png", "6.png"):
            image["width"] += 1
    write_annotations(own, content)
    (note,) = detect(ask(dataset=own)).notes
    assert note == "2 of the pictures have another size than annotated, 6.png first"


def test_ten_of_those_that_are_left_out_are_named(ask, tmp_path):
    dataset = write_dataset(tmp_path / "many", 14)
    for position in range(12):
        (dataset / "val2017" / f"{position}.png").unlink()
    (note,) = detect(ask(dataset=dataset, skip_bad=True)).notes
    assert note.startswith("12 pictures left out as unusable, so that this AP is not COCO's: ")
    assert note.endswith(
        ": 11.png, 10.png, 9.png, 8.png, 7.png, 6.png, 5.png, 4.png, 3.png, 2.png and 2 more"
    )
