"""Whether a compiled pipeline will run on Kubeflow, on Vertex and here, and why not."""

from kubeline.platform.lint.findings import Finding, Level
from kubeline.platform.lint.look import LintOptions, LintResult, look

__all__ = ["Finding", "Level", "LintOptions", "LintResult", "look"]
