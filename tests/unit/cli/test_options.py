"""What options take, where click itself would take more."""

import click
import pytest

from ostiary.cli.options import FiniteRange

HOURS = FiniteRange(0, 720, min_open=True)


@pytest.mark.parametrize("text", ["nan", "-nan", "inf", "0", "721", "two"])
def test_what_is_no_number_of_the_range_is_refused(text):
    with pytest.raises(click.BadParameter):
        HOURS.convert(text, None, None)


def test_infinity_is_no_number_of_an_open_range():
    with pytest.raises(click.BadParameter):
        FiniteRange(0.01).convert("inf", None, None)


def test_a_number_of_the_range_is_taken():
    assert HOURS.convert("1.5", None, None) == 1.5
