"""Whether a compiled pipeline will run on Kubeflow, on Vertex and here, and why not."""

from kubeline.platform.lint.findings import Level, LintFinding
from kubeline.platform.lint.look import LintOptions, LintResult, look

__all__ = ["Level", "LintFinding", "LintOptions", "LintResult", "look"]
