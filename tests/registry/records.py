"""How a package came to be chosen, for what files it: two candidates, and the trials of one."""

from kubeline.model_package.training_record import Candidate, TrainingRecord, Trial
from tests.support.blessed_packages import Blessed

TEST = {"rows": 100, "fingerprint": "e" * 64, "source": "postgresql://reader:s3cret@db/flights"}


def record(given: Blessed) -> TrainingRecord:
    trials = [Trial(params={}, score=0.7), Trial(params={"max_iter": 300}, score=0.78), Trial(params={"max_iter": 9})]
    chosen = Candidate(
        estimator="hist_gradient_boosting",
        params={"max_iter": 20},
        metrics={"auc": 0.79},
        score=0.79,
        parity=1e-7,
        chosen=True,
        trials=trials,
    )
    other = chosen.model_copy(
        update={"estimator": "linear", "params": {"C": 1}, "score": 0.6, "chosen": False, "trials": []}
    )
    table = {"fingerprint": "f" * 64, "rows": 900, "source": "s3://bucket/flights/2013"}
    return TrainingRecord(
        package_digest=given.package.digest, score_name="auc", table=table, candidates=[other, chosen]
    )
