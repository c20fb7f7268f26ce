"""Augmentation on the device: the same draw for the same seed, writing that stays writing, padding that stays paper."""

import torch

from text_recognizer.training.device_augment import augment_ink


def lines() -> tuple[torch.Tensor, torch.Tensor]:
    """Two lines of bars, 120 and 64 pixels wide, padded to 128."""
    images = torch.zeros(2, 1, 48, 128, dtype=torch.uint8)
    widths = torch.tensor([120, 64])
    for row, width in enumerate(widths.tolist()):
        images[row, 0, 12:36, 4 : width - 4 : 6] = 255
    return images, widths


def test_same_seed_gives_the_same_images_and_another_gives_others() -> None:
    images, widths = lines()
    one, again, other = (augment_ink(images, widths, seed=seed) for seed in (3, 3, 4))
    assert one.shape == images.shape
    assert one.dtype == torch.uint8
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, images)


def test_padding_stays_paper() -> None:
    images, widths = lines()
    for seed in range(20):
        assert augment_ink(images, widths, strength=2.0, seed=seed)[1, :, :, 64:].max() == 0


def test_most_of_the_ink_stays() -> None:
    images, widths = lines()
    before = images.float().sum()
    for seed in range(20):
        after = augment_ink(images, widths, seed=seed).float().sum()
        assert 0.4 * before < after < 2.5 * before


def test_no_strength_changes_nothing() -> None:
    images, widths = lines()
    assert augment_ink(images, widths, strength=0.0) is images
