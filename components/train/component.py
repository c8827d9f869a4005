"""Interface of `train`."""

from typing import Any

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def train(
    dataset: Input[Dataset],
    model: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
    target: str,
    transform: Input[Artifact] = None,
    task: str = "auto",
    positive_class: str = "",
    estimator: str = "hist_gradient_boosting",
    params: dict[str, Any] = {},
    candidates: list[dict[str, Any]] = [],
    exclude: list[str] = [],
    group_column: str = "",
    time_column: str = "",
    weight_column: str = "",
    balanced: bool = False,
    half_life: str = "",
    calibration: str = "none",
    tuning_trials: int = 0,
    tuning_minutes: float = 10.0,
    tuning_workers: int = 1,
    folds: int = 5,
    validation_fraction: float = 0.1,
    tolerance: float = 1e-5,
    seed: int = 0,
    metric: str = "",
    derive: dict[str, str] = {},
    workers: dict[str, Any] = {},
    options: dict[str, Any] = {},
) -> None:
    """Train a model on a table and write it as a model package that serves by ONNX.

    Every column but the target, the excluded, group, time and weight columns is a feature: numbers, text (a category),
    booleans, dates. Preprocessing is part of the model. Part of the rows is held out: on them the model is scored, and
    the scikit-learn and the ONNX form of the model must agree. The model is not fitted again on these rows, so that
    score and agreement are of the very model that is written. The same table, parameters and seed give the same
    package, byte for byte, as long as tuning is not ended by its time budget.

    Missing values need no treatment: a missing category is the same as an empty text, and is a category of its own.
    Categories unseen in training are answered as rare ones are. Columns without any value are left out and named in
    the report. Infinite values, and numbers mixed with text, are refused. Numbers that float32 would merge (account
    numbers, seconds since 1970) are distinguished as float64, whole numbers beyond float64 are refused, and others
    that merge are counted in the report.

    The table is held in memory. How much the training takes (rows, columns, method) is said in the log before it
    starts, and a table that does not fit into the memory of the container is refused.

    Args:
        dataset: Rows to learn from: features and target.
        target: Column to predict. It may not be missing in any row.
        transform: Derived columns, as ``transform`` writes them; in place of derive.
        task: ``binary``, ``multiclass``, ``regression``, or ``auto``: text and booleans are classes; whole numbers,
            however they are stored, are classes up to 20 different values, and other numbers are classes when there
            are just two of them; else it is a regression.
        positive_class: Of two classes, the one that f1, average_precision, recall and the like speak of, here and in
            every later step. Empty: the rarer one, which the report names.
        estimator: ``hist_gradient_boosting``, ``lightgbm``, ``xgboost``, ``random_forest``, or ``linear`` (logistic
            regression, ridge).
        params: Hyperparameters by the names the library gives them (for ``linear``: ``regularization``, ``max_iter``),
            and three of preprocessing: ``category_encoding`` (``ordinal`` by frequency, the default of trees;
            ``one_hot``, the default of ``linear``; ``target``, the mean of the target, for many categories, not with
            multiclass), ``max_categories`` (default 254: the most frequent are distinguished, rarer and unseen ones
            are one bucket) and ``date_parts`` (some of ``year``, ``month``, ``day``, ``weekday``, ``hour``; default
            all, of UTC). What speaks of columns takes their names: ``monotonic_cst`` and ``monotone_constraints``
            ``{"column": 1}``, ``interaction_cst`` and ``interaction_constraints`` ``[["column", "column"]]``.
        candidates: Several to choose from, 8 at most, in place of estimator and params: a list of ``{"estimator": name,
            "params": {hyperparameter: value}}``. Each is trained on the same rows, one after the other, and the one
            with the best score on the held-out rows is written, the first of equals. Empty: just the one.
        exclude: Columns that are no features.
        group_column: Rows of one group are never both learned from and scored on. Not a feature. Empty: where the table
            was split by group, that column, which stays a feature.
        time_column: The last rows are held out, and tuning scores on later rows than it learns from. A date, time or
            number. Not a feature, and not together with group_column. Empty: where the table was split by time, that
            column, which stays a feature.
        weight_column: Weight of each row, 0 or greater, in learning and in all metrics. Not a feature. Empty: all 1.
        balanced: Give all classes the same total weight. Their probabilities are then not those of the table; see
            calibration.
        half_life: Newer rows count more: a row counts half for each ``90d`` (``6mo``, ``24h``; of a time column of
            numbers, a number) that it is older, by the time column, than the newest, and a millionth at least. In
            learning alone: metrics count rows as before, so that models with and without it compare. Empty: alike.
        calibration: Correct the probabilities on a second held-out part of the rows, as large as the first:
            ``sigmoid``, ``isotonic`` (for thousands of rows), or ``none``.
        tuning_trials: Most trials of hyperparameter tuning with Optuna; 0 does not tune. What params sets stays.
        tuning_minutes: No trial of a candidate begins after so many minutes.
        tuning_workers: Trials that are begun together, and fitted side by side as far as the step's CPUs and memory go.
            The same seed and number give the same trials, on any machine.
        folds: Folds of the cross-validation that scores a trial. At least 2.
        validation_fraction: Share of the rows, or of the groups, that is held out. Between 0 and 1. Of a large table it
            is less: 100,000 rows, or as many as have 1,000 of the rarest class.
        tolerance: Greatest difference allowed between scikit-learn and ONNX on a held-out row: of a probability, or of
            a regression's prediction in standard deviations of the target.
        seed: Of everything random. A whole number from 0.
        metric: What tuning makes best and what candidates are compared by: a metric of ``evaluate``, best the
            one that decides there. Empty: roc_auc, log_loss or rmse by the task.
        derive: Columns computed inside the model, by SQL expressions over the columns of a row, such as
            ``{"log_amount": "ln(1 + amount)", "night": "hour(paid_at) < 6", "paid_at": ""}``: they are part of the ONNX
            graph, so that training, batch prediction and serving compute the same from the same raw columns. With an
            empty expression, a column is read by others and is no feature itself. ``transform`` explains the language.
        workers: Of ``xgboost`` or ``lightgbm``, which learn together, each from its own part of the rows:
            ``{"count": 4}`` are processes of this step; with ``image`` (that of this step) they are pods of a TrainJob
            of Kubeflow Trainer, each with ``cpu`` and ``memory``. When one is lost, all are begun again, XGBoost's from
            the last checkpoint. Empty: one process.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter.

    Returns:
        model: Model package: a folder of ``model.onnx``, ``serving.onnx``, ``model.joblib``, ``schema.json``,
            ``golden.json``, ``reference.json``, ``training_rows.parquet`` (which rows were in the table, in three
            bytes each, so that no later step scores the model on them) and ``manifest.json``; metadata framework,
            estimator, task, features, positive_class, package_digest, dataset_fingerprint, score_name, score.
        metrics: Metrics on the held-out rows. Binary: roc_auc, average_precision, brier, f1, log_loss, accuracy,
            balanced_accuracy. Multiclass: log_loss, accuracy, balanced_accuracy, macro_f1. Regression: rmse, mae, r2.
            All: the one that `metric` names, and parity_max_difference.
        report: Page with the candidates, metrics, agreement, features, trials of tuning, parameters and versions.
    """
    given = {**locals()}

    from kubeline.options import inputs_of
    from kubeline.training import train as implementation

    implementation.run(**inputs_of(given))
