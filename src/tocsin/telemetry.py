"""What tocsin says about itself: logs as events with fields, and metrics.

Logs go to stderr: coloured for a person at a terminal, else one JSON object a line. Whatever looks
like a secret, and all of a URL but its scheme and host, is blotted out before it is written, in
exceptions too, because a Slack webhook's URL is a password and error texts repeat it.

Metrics live in a registry of our own, so that `/metrics` shows what is listed here and no
stranger's.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
MAX_DEPTH = 6

_SECRET_KEY = re.compile(
    r"(token|password|passwd|secret|authorization|api_?key|webhook_url|cookie)", re.IGNORECASE
)
_URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)([^\s\"'<>\\]+)", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[^\s\"',;]+", re.IGNORECASE)
# C0 and C1 controls, and what reorders or hides text on a terminal.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]"
)
# Their INFO is our DEBUG; and uvicorn warns of every request that a scanner gets wrong.
_LOUD = {
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "apscheduler": logging.WARNING,
    "uvicorn": logging.ERROR,
}


def setup_logging(*, level: str = "info", stream: TextIO | None = None, as_json: bool | None = None) -> None:
    """Send our logs and the libraries' to `stream` (stderr), at `level` and above.

    `as_json` None: JSON unless the stream is a terminal. Calling again replaces the set-up.
    """
    out = sys.stderr if stream is None else stream
    plain = not out.isatty() if as_json is None else as_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_level(level)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_last_steps(plain=plain))
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(_level(level))
    for name, least in _LOUD.items():
        logging.getLogger(name).setLevel(max(_level(level), least))


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]


def _last_steps(*, plain: bool) -> list[Processor]:
    to_text: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        redact,
    ]
    if plain:
        return [*to_text, structlog.processors.JSONRenderer(default=str)]
    # Tracebacks stay plain: the rich ones print local variables, secrets among them.
    console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return [*to_text, _visible, console]


def redact(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """A structlog step: blot out secrets, and all of a URL but its scheme and host."""
    del logger, name
    return {key: _redacted(key, value, 0) for key, value in event.items()}


def redact_text(text: str) -> str:
    """The same for one text, for those who show an error elsewhere than in a log."""
    return _BEARER.sub(rf"\1 {REDACTED}", _URL.sub(_host_only, text))


def _redacted(key: object, value: Any, depth: int) -> Any:
    if isinstance(key, str) and key != "event" and _SECRET_KEY.search(key):
        return REDACTED
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return (
            {str(k): _redacted(k, v, depth + 1) for k, v in value.items()} if depth < MAX_DEPTH else REDACTED
        )
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted(None, item, depth + 1) for item in value] if depth < MAX_DEPTH else REDACTED
    return redact_text(str(value))


def _host_only(found: re.Match[str]) -> str:
    host, slash, _ = found[2].partition("/")
    host, question, _ = host.partition("?")
    _, _, host = host.rpartition("@")
    return f"{found[1]}{host}/{REDACTED}" if slash or question else f"{found[1]}{host}"


def _visible(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """A terminal obeys what an attacker wrote, unless it cannot be obeyed any more."""
    del logger, name
    return {key: _escaped(key, value) for key, value in event.items()}


def _escaped(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else str(value)
    shown = visible(text)
    return shown if key in ("exception", "stack") else shown.replace("\n", "\\n").replace("\t", "\\t")


def visible(text: str) -> str:
    """The text with control characters, and what else a terminal would obey, written as escapes."""
    return _UNSEEN.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


def _counter(name: str, what: str, *labels: str) -> Counter:
    return Counter(f"tocsin_{name}", what, labels, registry=REGISTRY)


def _gauge(name: str, what: str, *labels: str) -> Gauge:
    return Gauge(f"tocsin_{name}", what, labels, registry=REGISTRY)


EVENTS_ACCEPTED = _counter("events_accepted", "Events decoded and evaluated.", "source")
EVENTS_QUARANTINED = _counter("events_quarantined", "Records that became no event.", "source", "reason")
EVENTS_LATE = _counter("events_late", "Events later than the source's allowed lateness.", "source")
EVENTS_UNKNOWN_CODE = _counter("events_unknown_code", "Events whose code the catalogue does not know.")
OBSERVATIONS_WITHOUT_GROUP = _counter(
    "observations_without_group", "Matches that lacked a group-by or counted field.", "rule"
)
GROUPS_CAPPED = _counter("groups_capped", "Groups let go because a rule had too many.")
TRIGGERS = _counter("triggers", "Instants at which a rule was true.", "rule")
ALERTS_CHANGED = _counter("alerts_changed", "Changes of alerts.", "rule", "kind")
NOTIFICATIONS = _counter("notifications", "Attempts to deliver, by how they ended.", "channel", "outcome")
OUTBOX_WAITING = _gauge("outbox_waiting", "Notifications that wait for delivery.", "channel")
RULES_LOADED = _gauge("rules_loaded", "Rules at work.")
RULES_LAST_RELOAD_SUCCESSFUL = _gauge(
    "rules_last_reload_successful", "Whether the last reload of the rules was taken (1) or refused (0)."
)
RULES_LAST_RELOAD_SECONDS = _gauge(
    "rules_last_reload_success_timestamp_seconds", "When rules were last taken, Unix seconds."
)
RULE_ERRORS = _counter("rule_errors", "Events on which a rule failed.", "rule")
LOOP_ERRORS = _counter("loop_errors", "Rounds of a loop that failed and are tried again.", "loop")
INGEST_REQUESTS = _counter("ingest_requests", "Requests to the receiver, by answer.", "source", "status")
SOURCE_WATERMARK_SECONDS = _gauge(
    "source_watermark_seconds", "Event time up to which a source was evaluated, Unix seconds.", "source"
)
BATCH_SECONDS = Histogram(
    "tocsin_batch_seconds",
    "Time to evaluate and commit a batch.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=REGISTRY,
)
