"""Numbers of rows in files, and how often each occurs: exact, whatever the number of rows."""

import numpy as np
import pytest

from kubeline.errors import PlatformError
from kubeline.evaluation.bootstrap import Bootstrap
from kubeline.evaluation.kept import Kept, pieces, sample_rows
from kubeline.evaluation.tally import tally


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many pieces and ranges of few rows."""
    monkeypatch.setattr("kubeline.evaluation.kept.PIECE_ROWS", 64)
    monkeypatch.setattr("kubeline.evaluation.tally.SORTED_ROWS", 100)
    monkeypatch.setattr("kubeline.evaluation.tally.SAMPLED", 50)


def kept(numbers: np.ndarray) -> Kept:
    return Kept.of(numbers[some] for some in pieces(len(numbers)))


def test_what_is_kept_in_a_file_is_used_like_an_array() -> None:
    numbers = np.random.default_rng(0).random((500, 3)).astype(np.float32)
    found = kept(numbers)
    assert (len(found), np.asarray(found).dtype) == (500, np.float32)
    assert np.array_equal(found, numbers)
    for rows in (slice(60, 70), slice(490, 900), slice(3, 3), np.array([499, 0, 77, 77]), numbers[:, 0] > 0.5, 77):
        assert np.array_equal(found[rows], numbers[rows])
    assert np.array_equal(found * 2 > 1, numbers * 2 > 1)


def test_a_full_disk_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Kept()
    found.file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115
    with pytest.raises(PlatformError, match=r"No space left on device.*; give the step more disk, or set TMPDIR"):
        found.add(np.arange(10))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("different", [1, 5, 150, 10**9], ids=["one", "few", "some", "no ties"])
def test_numbers_are_counted_and_ranked_as_by_sorting_them_all(different: int, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    numbers = (rng.integers(0, different, 1_000) / different).astype(np.float32)
    numbers[::3] = numbers[0]  # more rows than are sorted at a time
    kinds = rng.integers(0, 2, 1_000)
    weights = rng.integers(1, 5, 1_000) / 4 if weighted else None
    found = tally(kept(numbers), kept(kinds), None if weights is None else kept(weights), 2)
    each = np.ones(1_000) if weights is None else weights
    assert np.array_equal(np.asarray(found.values), np.unique(numbers))
    for kind in range(2):
        of = kinds == kind
        expected = [each[of & (numbers == value)].sum() for value in np.unique(numbers)]
        assert np.array_equal(np.asarray(found.sums)[:, kind], expected)
        ranks = rng.integers(0, of.sum(), 50)
        assert np.array_equal(found.ranked(ranks, kind), np.sort(numbers[of])[ranks])
        shares = np.linspace(0, 1, 33)
        assert np.array_equal(found.quantiles(shares, kind), np.quantile(numbers[of], shares, method="inverted_cdf"))
        asked = rng.permutation(numbers)[:200]
        below = [2 * each[of & (numbers < one)].sum() + each[of & (numbers == one)].sum() for one in asked]
        assert np.array_equal(found.below(asked)[:, kind], below)


def test_very_many_rows_are_dealt_into_buckets_of_equal_size_and_sampled_evenly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kubeline.evaluation.bootstrap.WHOLE_ROWS", 4_100)
    monkeypatch.setattr("kubeline.evaluation.kept.WHOLE_ROWS", 4_100)
    found = Bootstrap(20_480, replicates=2, buckets=256)
    counts = np.bincount(np.concatenate([found.bucket[some] for some in pieces(20_480)]))
    assert set(counts) == {80}
    rows = sample_rows(20_480, 1_000, np.random.default_rng(0))
    assert len(np.unique(rows)) == 1_000
    assert np.bincount(rows // 2_048).min() >= 99
