"""Whether a compiled pipeline will run on Kubeflow, on Vertex and here, and why not."""

from kubeline.platform.lint.check import LintOptions, LintResult, check
from kubeline.platform.lint.findings import Level, LintFinding

__all__ = ["Level", "LintFinding", "LintOptions", "LintResult", "check"]
