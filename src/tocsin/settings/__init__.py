"""Settings: what an operator writes, judged before anything starts."""

from tocsin.settings.document import Document, Place, load_document, parse_document
from tocsin.settings.load import (
    Reading,
    load_settings,
    mistaken_variables,
    read_settings,
    secrets_in,
    validate_channels,
)
from tocsin.settings.mistakes import nearest, placed
from tocsin.settings.model import Heartbeat, Retention, Settings, SourceSettings
from tocsin.settings.secret import Secret, SecretUrl
from tocsin.settings.shipped import shipped, shipped_place, shipped_rules
from tocsin.settings.values import (
    Address,
    Duration,
    ExistingPath,
    Listen,
    LocalPath,
    Name,
    Size,
    anchored,
    relative_to,
)

__all__ = [
    "Address",
    "Document",
    "Duration",
    "ExistingPath",
    "Heartbeat",
    "Listen",
    "LocalPath",
    "Name",
    "Place",
    "Reading",
    "Retention",
    "Secret",
    "SecretUrl",
    "Settings",
    "Size",
    "SourceSettings",
    "anchored",
    "load_document",
    "load_settings",
    "mistaken_variables",
    "nearest",
    "parse_document",
    "placed",
    "read_settings",
    "relative_to",
    "secrets_in",
    "shipped",
    "shipped_place",
    "shipped_rules",
    "validate_channels",
]
