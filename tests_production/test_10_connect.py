"""The label is read and the right chip answers; nothing is written."""


def test_the_right_chip_answers(chip, measure):
    """Debug port, device id, flash size and unique id are those of the product's MCU."""
    measure("flash_size", chip.flash_size // 1024)
