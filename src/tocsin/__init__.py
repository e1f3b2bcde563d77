"""tocsin: Sigma rules, live, on identity logs."""

__version__: str


def __getattr__(name: str) -> str:
    """The version, looked up when it is asked for: `importlib.metadata` takes longer than a short command."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("tocsin")
