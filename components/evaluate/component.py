"""Interface of `evaluate`."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Artifact, ClassificationMetrics, Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def evaluate(
    test: Input[Dataset],
    model: Input[Model],
    blessing: Output[Artifact],
    predictions: Output[Dataset],
    metrics: Output[Metrics],
    classification: Output[ClassificationMetrics],
    report: Output[HTML],
    training: Input[Metrics] = None,
    champion: str = "",
    tracking_uri: str = "",
    pipeline_run: str = "",
    metric: str = "",
    slices: list[str] = [],
    thresholds: dict[str, Any] = {},
    fairness: dict[str, Any] = {},
    rule: str = "non_inferior",
    margin: float = 0.01,
    no_champion: str = "promote",
    min_rows: int = 100,
    min_slice_rows: int = 100,
    confidence: float = 0.95,
    replicates: int = 1000,
    seed: int = 0,
    weight_column: str = "",
    group_column: str = "",
    time_column: str = "",
    options: dict[str, Any] = {},
) -> str:
    """Judge a model on rows it was not trained on, alone and against the champion.

    Every metric comes with a bootstrap confidence interval. The champion is scored again on the very same rows, and
    the difference is tested: DeLong for ROC AUC, McNemar for accuracy, the paired bootstrap for the rest. Rows that
    either of the two was trained on judge neither (packages know theirs), nor do rows of groups of which only one saw
    others; how many were left out is reported. Where too few are left, or an earlier version's package does not say,
    the comparison is inconclusive. Rows that belong together are resampled together, and DeLong and McNemar, which take
    rows as independent and of equal weight, give way to the bootstrap; so they do with weights. The verdict
    is ``promote`` when every check passes with its whole interval, ``hold`` when one surely fails, else
    ``inconclusive``. Checked are: that ONNX Runtime answers the golden rows as in training, that there are enough rows,
    that the model beats a constant guess (by the deciding metric, and in a classification by log loss and Brier score
    as well, for only probabilities that come true do that), the thresholds, that groups are treated alike, the
    champion, and the champion in every slice.

    Args:
        test: Rows that the model was not trained on: its feature columns, the target, and any others. Rows whose
            target is missing are predicted and counted, but not judged.
        model: Model package, as ``train`` or ``select`` writes it.
        training: The metrics of ``train``, which know the candidates and trials; for tracking alone.
        champion: The model to compare with: a path, a URI, or ``models:/NAME@ALIAS``. Empty: none.
        tracking_uri: Registry that ``models:/`` is looked up in, and what files the run. Empty: the default one.
        pipeline_run: Name or id of the pipeline run. With it, and a champion in a registry, the run is filed there
            whatever the verdict: in MLflow as a run of the experiment NAME, each candidate a run below it, each trial
            below its candidate, with the tables as dataset inputs. Empty: nothing is filed.
        metric: The metric that decides. Binary: ``roc_auc`` (default), ``average_precision``, ``log_loss``, ``brier``,
            ``accuracy``, ``balanced_accuracy``, ``f1``, ``precision``, ``recall``. Multiclass: ``log_loss`` (default),
            ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``macro_roc_auc``. Regression: ``rmse`` (default),
            ``mae``, ``median_ae``, ``r2``, ``mape``.
        slices: Columns of the test table to examine: each category, or each quarter of a number or time.
        thresholds: Requirements by metric: a number (a floor, or a ceiling where smaller is better), or MLflow's
            fields ``threshold``, ``min_absolute_change`` (in the metric's unit), ``min_relative_change`` (a share of
            the champion's value) and ``greater_is_better``, as in ``{"roc_auc": {"threshold": 0.6}}``. Changes are
            asked for only where there is a champion. ``class`` makes ``precision``, ``recall``, ``f1``,
            ``average_precision``, ``roc_auc`` or ``brier`` those of one class against the rest, in any classification:
            ``{"recall": {"threshold": 0.8, "class": "fraud"}}``, or a list of such for several classes.
        fairness: How far groups of rows may be apart, by fairlearn's metrics, as in
            ``{"demographic_parity_difference": {"columns": ["sex"], "at_most": 0.1}}``: ``demographic_parity``,
            ``equal_opportunity``, ``equalized_odds`` or ``accuracy_score``, each with ``_difference`` (``at_most``) or
            ``_ratio`` (``at_least``); of a regression ``mean_prediction_difference``,
            ``mean_absolute_error_difference`` or ``_ratio``. Columns are any of the test table's, features or not;
            numbers are cut into quarters. ``groups`` are the values to compare (default: all, up to 60), ``class`` is
            the outcome, against the rest. Without a limit a figure is only shown. The model is held when the whole
            interval, which holds for all pairs of groups, is beyond the limit; a group of fewer than
            ``min_slice_rows`` rows is inconclusive.
        rule: ``non_inferior`` (surely not worse than the champion by more than the margin) or ``superior`` (surely
            better).
        margin: Loss that does not matter, as a share of the champion's value of the metric. 0 or greater, below 1.
        no_champion: What to do while there is no champion: ``promote`` (the other checks decide) or ``hold``.
        min_rows: Fewer labelled rows than this are inconclusive. 1 or more.
        min_slice_rows: Slices with fewer rows are not judged. 1 or more.
        confidence: Level of every interval. From 0.5 up to 1.
        replicates: Bootstrap replicates. 100 or more.
        seed: Of the resampling and the shuffles.
        weight_column: How much each row counts, in every metric, test and slice; rows of weight 0 are left out. Empty:
            the one the model was trained with, if any.
        group_column: Rows with the same value belong together and are resampled together, as clusters. At least 10
            groups. Empty: as in training, else the column by whose groups ``split`` made the test table; where there
            is none, rows are taken as independent, and the report says so.
        time_column: The same for the rows of one day (of a time or date) or of one value (of a number). Empty: as for
            groups; days that only ``split`` knows of and that are fewer than 10 are not clusters, and that is said.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter. Its max_latency_ms
            and promote are for later steps.

    Returns:
        blessing: JSON, a blessing of the check ``evaluation`` that ``register`` and ``deploy`` ask for, with the
            verdict, the reasons and the evidence; metadata verdict, check, package_digest.
        predictions: Parquet folder, one row for each test row: row, judged, target, prediction, probability.CLASS, and
            the champion's as champion.prediction, champion.probability.CLASS; metadata rows, columns, bytes,
            fingerprint, source.
        metrics: Every defined metric as METRIC, METRIC_lower, METRIC_upper and champion_METRIC; rows,
            parity_max_difference.
        classification: Confusion matrix and, for a binary task, the ROC curve.
        report: HTML page with the verdict, the gate, metrics, curves, calibration, slices, fairness, importances and
            parity.
        Output: ``promote``, ``hold`` or ``inconclusive``.
    """
    given = {**locals()}

    from kubeline.evaluation import evaluate as implementation
    from kubeline.options import inputs_of, of_evaluation

    return implementation.run(**inputs_of({**given, "options": of_evaluation(options)}))
