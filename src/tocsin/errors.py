"""Every error tocsin raises on purpose, as one tree.

Error:
├── ConfigError             the settings, routing or a template file is wrong
├── RuleError               one mistake in a rule file
├── RuleErrors              all of them, of one load
├── SourceError
│   ├── SourceUnavailable   the source cannot be read now; the loop tries again
│   └── BadRecord           one record cannot become an event: it goes to quarantine
├── StoreError
│   ├── StoreUnavailable    the store cannot be reached or refuses writes; the loop tries again
│   ├── StoreInUse          another live process owns the data directory (exit 75)
│   └── StoreUnfit          the store evicts, forgets or is newer than this program
└── DeliveryError
    ├── TemporaryFailure    the channel may take it later
    └── PermanentFailure    it never will: a dead letter
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta


class Error(Exception):
    """The root: its text is a message for a person (the thing, the place, the way out)."""


class ConfigError(Error):
    """A setting, route or template is wrong."""


class RuleError(Error):
    """One mistake in a rule file: `file:line:column: what; how to fix it`.

    Lines and columns count from 1. A `warning` never stops a load.
    """

    def __init__(self, file: str, line: int, column: int, message: str, *, severity: str = "error") -> None:
        kind = "" if severity == "error" else f"{severity}: "
        super().__init__(f"{file}:{line}:{column}: {kind}{message}")
        self.file, self.line, self.column = file, line, column
        self.message, self.severity = message, severity


class RuleErrors(Error):
    """All mistakes of one load, in file order; none of the rules was loaded. `warnings` did not stop it."""

    def __init__(self, errors: Sequence[RuleError], warnings: Sequence[RuleError] = ()) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors, self.warnings = tuple(errors), tuple(warnings)


class TuneError(Error):
    """What was asked of `tocsin tune` makes no sense."""


class SourceError(Error):
    """A source failed."""


class SourceUnavailable(SourceError):
    """The source cannot be read now."""


class BadRecord(SourceError):
    """One record cannot become an event; the text is the reason shown in quarantine."""


class StoreError(Error):
    """The state store failed."""


class StoreUnavailable(StoreError):
    """The store cannot be reached, or takes no writes now."""


class StoreInUse(StoreError):
    """Another live process owns the data directory."""


class StoreUnfit(StoreError):
    """The store would lose what it is given, or was written by a newer tocsin."""


class DeliveryError(Error):
    """A notification was not delivered."""


class TemporaryFailure(DeliveryError):
    """Try again; `retry_after` is what the other side asked for."""

    def __init__(self, reason: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class PermanentFailure(DeliveryError):
    """Do not try again."""
