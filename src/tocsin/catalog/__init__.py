"""Facts about each provider: its event codes and where its records keep what."""

from tocsin.catalog.lookup import (
    Code,
    categories,
    code_of_action,
    codes,
    everything,
    expand_category,
    nearest_code,
    search,
)
from tocsin.catalog.provider import PROVIDERS, Provider

__all__ = [
    "PROVIDERS",
    "Code",
    "Provider",
    "categories",
    "code_of_action",
    "codes",
    "everything",
    "expand_category",
    "nearest_code",
    "search",
]
