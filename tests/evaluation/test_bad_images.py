"""Images that cannot be used, or are not what the annotations say."""

import pytest
from drawn_coco import read, write_annotations, write_dataset
from evaluating import detect, fail_on_progress, same_predictions

from picodet.errors import ImageError
from picodet.evaluation.metrics import evaluate


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"2\.png: cannot be read: No such file"),
        (b"", r"2\.png: an empty file"),
        (b"no image", r"2\.png: not an image"),
    ],
)
def test_a_bad_image_stops_before_the_long_work(make_request, own_dataset, content, message):
    path = own_dataset / "val2017" / "2.png"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ImageError, match=message + ".*; --skip-corrupt leaves such images out"):
        detect(make_request(dataset=own_dataset), detect_progress=fail_on_progress)


def test_of_several_the_first_is_named(make_request, own_dataset):
    for name in ("7.png", "2.png", "4.png"):
        (own_dataset / "val2017" / name).unlink()
    with pytest.raises(ImageError, match=r"7\.png: .*, and 2 more;"):  # the smallest id
        detect(make_request(dataset=own_dataset, threads=3), detect_progress=fail_on_progress)


def test_bad_images_can_be_left_out(make_request, own_dataset, baseline):
    (own_dataset / "val2017" / "7.png").unlink()
    (own_dataset / "val2017" / "2.png").write_bytes(b"no image")
    found = detect(make_request(dataset=own_dataset, skip_corrupt=True))
    assert found.notes == (
        "2 images left out as unusable, so that this AP is not COCO's: 7.png, 2.png",
    )
    assert found.caveat == "not COCO's: 2 images left out"
    kept = [p.id for p in baseline.annotations.images if p.file not in ("2.png", "7.png")]
    assert [image.id for image in found.annotations.images] == kept
    (predictions,) = found.predictions
    assert same_predictions(predictions, baseline.predictions[0].select_images(kept))
    rest = evaluate(baseline.annotations.select_images(kept), predictions).stats
    assert evaluate(found.annotations, predictions).stats == rest
    assert rest != evaluate(baseline.annotations, baseline.predictions[0]).stats


def test_skip_corrupt_adds_no_note_without_corrupt_images(make_request, baseline):
    assert detect(make_request(skip_corrupt=True)).notes == baseline.notes == ()


def test_if_all_are_bad_there_is_nothing_to_evaluate(make_request, own_dataset):
    for image in (own_dataset / "val2017").iterdir():
        image.unlink()
    with pytest.raises(ImageError, match="none of the 10 images can be used"):
        detect(make_request(dataset=own_dataset, skip_corrupt=True))


def test_images_of_another_size_are_noted(make_request, own_dataset):
    content = read(own_dataset)
    for image in content["images"]:
        if image["file_name"] in ("1.png", "6.png"):
            image["width"] += 1
    write_annotations(own_dataset, content)
    (note,) = detect(make_request(dataset=own_dataset)).notes
    assert note == "2 of the images have another size than annotated, 6.png first"


def test_ten_of_those_that_are_left_out_are_named(make_request, tmp_path):
    dataset = write_dataset(tmp_path / "many", 14)
    for position in range(12):
        (dataset / "val2017" / f"{position}.png").unlink()
    (note,) = detect(make_request(dataset=dataset, skip_corrupt=True)).notes
    assert note.startswith("12 images left out as unusable, so that this AP is not COCO's: ")
    assert note.endswith(
        ": 11.png, 10.png, 9.png, 8.png, 7.png, 6.png, 5.png, 4.png, 3.png, 2.png and 2 more"
    )
