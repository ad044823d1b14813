import numpy as np
import pytest
from scipy import stats

from vision_studies.errors import ParameterError
from vision_studies.statistics.resampled import corrected_resampled

VALUES = [0.02, 0.01, 0.04, 0.02, 0.03]


def test_the_variance_has_the_share_of_test_images_more():
    found = corrected_resampled(VALUES, train=80, test=20)
    error = np.std(VALUES, ddof=1) * np.sqrt(1 / 5 + 20 / 80)
    low, high = stats.t.interval(0.95, 4, np.mean(VALUES), error)
    assert (found.folds, found.low, found.high) == (5, pytest.approx(low), pytest.approx(high))
    assert found.p == pytest.approx(2 * stats.t.sf(np.mean(VALUES) / error, 4))


def test_it_is_the_t_test_where_hardly_any_image_is_tested():
    found = corrected_resampled(VALUES, train=10**9, test=1)
    assert found.p == pytest.approx(stats.ttest_1samp(VALUES, 0).pvalue, rel=1e-6)


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_interval_and_p_agree(confidence):
    for shift in np.linspace(-0.1, 0.1, 21):
        found = corrected_resampled(np.add(VALUES, shift), train=80, test=20, confidence=confidence)
        assert (found.p < 1 - confidence) == (found.low > 0 or found.high < 0)


def test_one_fold_says_nothing_of_spread_and_missing_folds_do_not_count():
    found = corrected_resampled([0.5, np.nan], train=80, test=20)
    assert (found.folds, found.value) == (1, 0.5)
    assert np.isnan([found.low, found.high, found.p]).all()


def test_folds_without_images_are_refused():
    with pytest.raises(ParameterError, match="need training and test images, and have 0 and 5"):
        corrected_resampled(VALUES, train=0, test=5)
