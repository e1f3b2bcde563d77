"""tocsin: Sigma rules, live, on identity logs."""

from importlib.metadata import version

__version__ = version("tocsin")
