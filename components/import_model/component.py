"""Interface of `import_model`."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Model, Output

from components.images import image


@dsl.component(base_image=image("steps"), install_kfp_package=False)
def import_model(
    dataset: Input[Dataset],
    held_out: Input[Dataset],
    model: Output[Model],
    report: Output[HTML],
    source: str,
    target: str,
    sha256: str = "",
    features: list[str] = [],
    task: str = "auto",
    positive_class: str = "",
    classes: list[str] = [],
    metric: str = "",
    tolerance: float = 1e-5,
) -> None:
    """Make a model package of a model that was trained elsewhere: a fitted scikit-learn pipeline, or an ONNX file.

    What comes out is a package as ``train`` writes it, so that every later gate holds for it: evaluate, infra_validate,
    register, deploy and rollout. A pipeline is exported to ONNX in both forms, and they are compared with it on every
    held-out row; a difference beyond `tolerance` is refused. A pickle runs what is in it when it is opened, so that one
    is opened only after its SHA-256 is the one given; a file of skops is opened without running anything, and types
    beside those of scikit-learn and NumPy in it are refused by name.

    Of an ONNX file both forms are compared with the file as it came, its labels with its probabilities, and rows alone
    with rows together. Its inputs read columns by their names, or in the order of `features`; its output is one number,
    or probabilities, also behind a ZipMap. Loops, operators that are not run, and data in other files are refused by
    name before anything runs. That it answers as the model it was exported from cannot be checked, as there is no
    second form, and its package has no ``model.joblib``.

    Args:
        dataset: The rows that the model was trained on, with the target: later ones are compared with them for drift,
            and evaluate leaves them out.
        held_out: Rows that it was not trained on, of the same columns: they give metrics, golden rows and parity.
        source: Path or URI of the file: ``.onnx``, ``.skops``, or a pickle of scikit-learn's ``.joblib``, ``.pkl``,
            ``.pickle``.
        target: The column that the model predicts.
        sha256: SHA-256 of the file in hexadecimal digits, from where you trust it. Needed for a pickle.
        features: The columns that the model reads, in its order. Empty takes the names it was fitted with,
            or those of the inputs of an ONNX file.
        task: ``binary``, ``multiclass``, ``regression``, or ``auto`` as of ``train``.
        positive_class: Of two classes, the one that recall and precision speak of. Empty: the rarer one.
        classes: Of an ONNX file, the classes in the order of its probabilities; of one probability, its own is the
            second. Empty takes those that the file names.
        metric: The metric that is the score of the package. Empty: the default of the task.
        tolerance: Greatest difference that passes of both forms and the model as it came, as of ``train``.

    Returns:
        model: The package; metadata as of ``train``.
        report: Page about what was imported and how well its forms agree.
    """
    from kubeline.training import import_model as implementation

    implementation.run(
        dataset,
        held_out,
        model,
        report,
        source=source,
        target=target,
        sha256=sha256,
        features=features,
        task=task,
        positive_class=positive_class,
        classes=classes,
        metric=metric,
        tolerance=tolerance,
    )
