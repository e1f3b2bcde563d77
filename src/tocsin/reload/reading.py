"""Reading the rules of a running service anew: what would be a warning at its start may be a refusal here."""

from __future__ import annotations

from collections.abc import Callable

from tocsin.errors import ConfigError, RuleError, RuleErrors
from tocsin.reload.watch import Signature
from tocsin.rules.load import Loaded
from tocsin.settings import Settings


def read_anew(
    settings: Settings, signature: Signature, load: Callable[[Settings], Loaded], *, at_work: int
) -> Loaded:
    """The rules that the settings name, to be put in place of `at_work` rules.

    Raises:
        RuleErrors: all that is wrong; what could not be listed, and a set without any rule, too: nobody
            means that, it is half written.
    """
    if signature.unreadable:
        raise RuleErrors(signature.unreadable)
    try:
        loaded = load(settings)
    except ConfigError as exc:
        raise RuleErrors([RuleError(settings.document.file, 1, 1, str(exc))]) from exc
    if at_work and not loaded.ruleset.rules:
        message = "no rule is left; write one, or stop the service to watch for nothing"
        place = settings.rules[0].as_posix()
        raise RuleErrors([RuleError(place, 1, 1, message)], loaded.ruleset.warnings)
    return loaded
