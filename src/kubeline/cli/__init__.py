"""The command line."""

from kubeline.cli.main import main

__all__ = ["main"]
