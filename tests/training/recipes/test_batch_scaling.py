import pytest

from picodet.training.recipes.batch_scaling import derived, scaled_to_batch, scaling_note
from picodet.training.recipes.official import RECIPES

S = RECIPES["picodet_s_416_coco"]
L = RECIPES["picodet_l_416_coco"]


def test_the_rate_follows_the_number_of_images():
    used = scaled_to_batch(S, 8, 2)
    assert used.batches.total == 16
    assert used.schedule.base_lr == pytest.approx(0.02, rel=1e-15)  # 0.4 x 16 / 320
    assert used.augmentation == S.augmentation
    assert scaled_to_batch(S, 80, 4) == S


def test_it_is_reported():
    assert scaling_note(S, scaled_to_batch(S, 8, 2)) == (
        "base learning rate 0.4 for 320 images per step scaled to 0.02 for 16 (linear scaling rule)"
    )
    assert scaling_note(S, scaled_to_batch(S, 40, 8)) is None


def test_steps_as_paddles_sampler_counts_them():
    """117,266 images on 4 GPUs are 29,317 each: 366 whole batches of 80."""
    follows = derived(S)
    assert (follows.steps_per_epoch, follows.steps) == (366, 109_800)
    assert derived(RECIPES["picodet_m_320_coco_pruner"]).steps_per_epoch == 229
    # 9 images on 4 are 3 each, some of them twice; 9 // 12 would be none
    assert derived(scaled_to_batch(S, 3, 4), 9).steps_per_epoch == 1


def test_rates_at_both_ends():
    follows = derived(S)
    assert follows.first_lr == pytest.approx(0.04, rel=1e-12)
    assert 0 < follows.last_lr < 1e-9
    # 250 of 300 epochs: the cosine is left at 6.7 percent
    assert derived(L).last_lr / L.schedule.base_lr == pytest.approx(0.067, abs=1e-3)


def test_too_few_images_for_a_step():
    assert derived(S, 100).steps == 0
