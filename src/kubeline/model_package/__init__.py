"""The on-disk model: files, manifest, digests, signature, verification."""

from kubeline.model_package.blessing import Blessing
from kubeline.model_package.manifest import Manifest, Parity
from kubeline.model_package.package import ModelPackage, version_of
from kubeline.model_package.predictor import Predictions, Predictor
from kubeline.model_package.signature import Feature, Signature

__all__ = [
    "Blessing",
    "Feature",
    "Manifest",
    "ModelPackage",
    "Parity",
    "Predictions",
    "Predictor",
    "Signature",
    "version_of",
]
