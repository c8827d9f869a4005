"""What permutation importance costs."""

import pytest

from kubeline.evaluation.importance import REPEATS, SAMPLE, sample_size


@pytest.mark.parametrize("features", [1, 30, 300, 1000])
def test_the_cost_of_importances_is_bounded_and_not_of_the_square_of_the_columns(features: int) -> None:
    assert sample_size(features) <= SAMPLE
    assert sample_size(features) * REPEATS * features**2 <= 2e9


def test_a_usual_table_is_sampled_whole_and_one_of_thousands_of_columns_still_is_ranked() -> None:
    assert sample_size(100) == SAMPLE
    assert sample_size(2000) == sample_size(5000) == 250
