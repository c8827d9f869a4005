"""Interface of `drift_check`."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components.images import image


@dsl.component(base_image=image("drift"), install_kfp_package=False)
def drift_check(
    current: Input[Dataset],
    result: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    evidently_report: Output[HTML],
    model: Input[Model] = None,
    reference: Input[Dataset] = None,
    reference_uri: str = "",
    tracking_uri: str = "",
    exclude: list[str] = [],
    min_effect: float = 0.1,
    max_p: float = 0.01,
    min_rows: int = 200,
    min_columns: int = 1,
    min_auc: float = 0.6,
    evidently: bool = True,
    pushgateway: str = "",
    slices: list[str] = [],
    references: list[str] = [],
    history: str = "",
    options: dict[str, Any] = {},
) -> NamedTuple("Outputs", [("drifted", bool), ("verdict", str)]):
    """Decide whether a window of data has drifted from the data a model was trained on.

    Every row counts. A column has drifted when its effect is large AND surely not chance AND there are enough rows:
    the effect is the population stability index over quantile bins of the reference (with open ends) or its
    categories, and bins for missing and unseen values, minus its bias; the p-value is adjusted over all columns by
    Benjamini and Hochberg. Times are compared but not judged, since a later window differs in its times by nature.
    Where training knew a group or time column and the window has it, rows of one group or day count as alike as they
    are: effect and p-value allow for how much such clusters differ by themselves, from 10 of them on.
    What moves between columns alone is seen by a classifier that learns to distinguish 10,000 rows of the window from
    as many of the reference (of more than 100 columns, a million values of each), by cross-fitting: its AUC is the
    effect.
    Besides the verdict the report names new and vanished categories, and values that are missing more or less often.
    Give exactly one of `model`, `reference` and `reference_uri`. With a model its predictions are compared too, and
    where the window has labels, these are, and its performance is shown beside its validation in training: drift does
    not show how well a model does. Without labels it is estimated: the AUC of two classes and the log loss of more from
    the model's calibrated probabilities, the RMSE of a regression from the errors that such predictions had on the rows
    which training held out. That sees a change of the columns, and none of what follows from them.

    Args:
        current: The window to check, with at least the columns that are compared. Further columns are left alone.
        model: Model package, as ``train`` writes it; its profile of the training data is compared with.
        reference: Table to compare with; it is profiled here.
        reference_uri: The same as a path or URI of a model package or a dataset folder, or ``models:/NAME@ALIAS``.
        tracking_uri: Registry that ``models:/`` is looked up in. Empty: the default one.
        exclude: Columns that are not compared, such as a month that every window changes.
        min_effect: Smallest effect that is drift, as PSI. Above 0; 0.1 is some, 0.25 much.
        max_p: Largest adjusted p-value that is drift. Between 0 and 1.
        min_rows: Rows that both samples must have, or else the verdict is ``insufficient_data``. 1 or more.
        min_columns: How many columns must have drifted for the window to have drifted, or explain what the classifier
            finds; one drifted prediction, or the labels, are always enough. 1 or more.
        min_auc: Smallest AUC of the classifier that is drift, where it is surely no chance: 0.55 to 0.65 are usual. 1
            asks none.
        evidently: Whether to ask Evidently for its report, which takes a few seconds.
        pushgateway: Address of a Prometheus Pushgateway, such as http://pushgateway:9091, for the figures of the window
            of a model. Those of a registered model go to its registry as well, as one run with a step for each window.
        slices: Columns of the window, features or not, by which the performance is given in parts of at least 100
            rows, each with its interval: on labelled rows, named where it is surely worse than on the others; and
            estimated, as long as an answer means the same in each part as in all.
        references: What else a window is compared with, by the same rule: a season such as 7d or 12mo, for the window
            so much earlier, whose profile an earlier check left in `history`, or addresses of model packages and
            datasets. What drifted from the training, and not from one of these, is expected. One that is missing, or
            has too few rows, excuses nothing, and the report says so.
        history: A folder that all runs reach, for the profile of each window; it needs a window that was loaded with
            `at` and `length`. Empty: none is kept.
        options: Any of the inputs by name, over them: for a pipeline that has them as one parameter.

    Returns:
        result: JSON with the verdict, the rule, and for each column, prediction and label its effect, p-values,
            verdict, bins, missing shares and unseen categories, the classifier and the findings; metadata verdict,
            drifted.
        metrics: drifted (0 or 1), rows, columns_drifted, columns_judged, max_effect, max_prediction_effect,
            label_effect, classifier_auc, findings and, where there are labels, the task's own metric and
            calibration_error; estimated_roc_auc, estimated_log_loss or estimated_rmse, estimated_calibration_error.
        report: HTML page with the verdict, the columns by effect, distributions and performance.
        evidently_report: HTML page of what Evidently says of at most 5,000 rows of each sample and the 50 columns that
            shifted most, with their distributions and course, for people. Against a model, the reference rows are
            redrawn from its profile column by column, and the page says so.
        drifted: Whether the verdict is ``drift``.
        verdict: ``stable``, ``drift`` or ``insufficient_data``.
    """
    given = {**locals()}

    from kubeline.drift import check
    from kubeline.options import inputs_of

    return check.run(**inputs_of(given))
