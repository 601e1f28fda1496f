"""scikit-learn's own checks of an estimator. What is expected to fail is listed with the reason."""

from __future__ import annotations

from sklearn.utils.estimator_checks import parametrize_with_checks

from shoal import KMeans, MiniBatchKMeans, StreamingKMeans, SummaryClusterer


def expected_to_fail(estimator):
    if getattr(estimator, "metric", None) == "cosine":
        # its data, cast to integers, has rows of zeros: they have no direction, and we say so
        reasons = {"check_estimators_dtypes": "rows of zeros are an error under cosine"}
    else:
        reasons = {}
    if isinstance(estimator, KMeans):
        # scikit-learn excuses its own KMeans for the same reason: one random start draws other rows from repeated
        # data than from weighted data, so another local optimum may be found. The property that does hold (equal
        # answers from equal starts) is in test_k_means.py.
        reasons |= {
            "check_sample_weight_equivalence_on_dense_data": "one random start may end in another local optimum"
        }
    return reasons


@parametrize_with_checks(
    [
        KMeans(3, random_state=0),
        KMeans(3, random_state=0, metric="cosine"),
        StreamingKMeans(3, random_state=0),
        StreamingKMeans(3, random_state=0, metric="cosine"),
        MiniBatchKMeans(3, random_state=0),
        MiniBatchKMeans(3, random_state=0, metric="cosine"),
        SummaryClusterer(),
        SummaryClusterer("ward"),
        SummaryClusterer("spectral"),
    ],
    expected_failed_checks=expected_to_fail,
)
def test_scikit_learn_check(estimator, check):
    check(estimator)
