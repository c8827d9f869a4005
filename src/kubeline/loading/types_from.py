"""The types of columns by what will use them: a model package, a schema of `validate`, or another dataset.

The values of one window do not distinguish a postal code from a number when no code begins with 0; what the model
was trained on does.
"""

from pathlib import Path

from kubeline.columns import LOAD_TYPE, TYPE_OF_KIND, type_of


def types_of(reference: str, tracking_uri: str = "") -> dict[str, str]:
    """Column to one of the kinds of the parameter `types`; columns that nothing is known of are left out.

    Args:
        reference: path or address of a model package, of a dataset's folder, or of a schema's JSON file; or
            ``models:/NAME@ALIAS``.
        tracking_uri: registry of the latter.

    Raises:
        UserError: when there is nothing there, or it is none of these.
        PlatformError: when the storage or the registry cannot be used.
    """
    if reference.lower().partition("?")[0].endswith(".json"):
        return _of_schema(reference)
    from kubeline.model_package.package import MANIFEST, ModelPackage
    from kubeline.registry import absent, fetch

    folder = fetch(reference, tracking_uri)
    if folder is None:
        raise absent(reference, tracking_uri)
    if (folder / MANIFEST).is_file():
        return {each.name: LOAD_TYPE[TYPE_OF_KIND[each.kind]] for each in ModelPackage.open(folder).signature.features}
    if folder.is_file():  # the schema of a step is a file without an ending
        return _of_schema(str(folder))
    return types_of_dataset(folder)


def _of_schema(uri: str) -> dict[str, str]:
    from kubeline.schema.document import read_schema

    return {name: LOAD_TYPE[each.type] for name, each in read_schema(uri).columns.items() if each.type in LOAD_TYPE}


def types_of_dataset(folder: Path) -> dict[str, str]:
    """The types of a dataset's columns, as above."""
    from kubeline.data.dataset import open_dataset

    kinds = {field.name: type_of(field.type) for field in open_dataset(folder).schema}
    return {name: LOAD_TYPE[kind] for name, kind in kinds.items() if kind in LOAD_TYPE}
