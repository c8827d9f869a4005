"""What is registered, and what is found in a registry afterwards."""

from kubeline.registry import ModelVersion, Submission, open_registry
from tests.support.blessed_packages import Blessed


def versions(tracking_uri: str) -> list[ModelVersion]:
    registry = open_registry(tracking_uri)
    found = (registry.find("flights", version=str(number)) for number in range(1, 9))
    return [version for version in found if version is not None]


def submission(given: Blessed) -> Submission:
    package = given.package
    return Submission("flights", package.path, package.digest, {"max_iter": "20"}, {"auc": 0.8}, {"task": "binary"})
