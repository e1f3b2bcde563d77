"""Block Kit, built here from the named texts that `slack.j2` renders: no template can make it invalid.

Slack refuses a whole message for one text that is too long, so every limit is kept by cutting, and
every cut says how much is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tocsin.alerts.escape import cut, cut_mrkdwn, each_text, for_slack
from tocsin.alerts.facts import Facts, inert
from tocsin.alerts.plain import plain_headline, plain_lines

MAX_HEADER = 150
MAX_SECTION = 3_000
MAX_FIELD = 2_000
MAX_FIELDS = 10
MAX_URL = 3_000
MAX_TOTAL = 12_000  # Slack refuses above 13,000 or so
_LIMITS = (MAX_SECTION, 1_500, 800, 500, 350, 200)
Block = dict[str, Any]
Texts = Callable[[str, Facts], str]  # the named block of the template, rendered with these facts


def slack_payload(message: Facts, block: Texts) -> dict[str, Any]:
    """The payload of an incoming webhook. `block` renders one `{% block %}` of the template.

    Raises:
        TemplateFailure: whatever `block` raises.
    """
    plain = inert(message)
    escaped = each_text(plain, for_slack)
    header = block("header", {"message": plain}).strip() or plain_headline(plain)
    text = block("text", {"message": escaped}).strip() or for_slack(plain_headline(plain))
    footer = block("footer", {"message": escaped})
    one = len(message["alerts"]) == 1
    parts = (_one_alert if one else _many_alerts)(escaped, block)
    for limit in _LIMITS:
        blocks = [
            _header(header),
            *[built for part in parts for built in part(limit)],
            *_buttons(message),
            *_context(footer, limit),
        ]
        payload = _payload(cut_mrkdwn(" ".join(text.split()), min(limit, 500)), blocks)
        if _size(payload) <= MAX_TOTAL:
            break
    return payload


def plain_payload(message: Facts) -> dict[str, Any]:
    """The same without a template: everything in `plain_text` objects, where nothing has a meaning."""
    plain = inert(message)
    lines = plain_lines(plain)[1:]
    section = {"type": "section", "text": _plain(cut("\n".join(lines).strip(), MAX_SECTION))}
    text = cut_mrkdwn(for_slack(plain_headline(plain)), 500)
    return _payload(text, [_header(plain_headline(plain)), section, *_buttons(message)])


_Part = Callable[[int], list[Block]]


def _one_alert(message: Facts, block: Texts) -> list[_Part]:
    context = {"message": message, "alert": message["alerts"][0]}
    fields = _paragraphs(block("fields", context))
    texts = [block(name, context) for name in ("summary", "evidence", "runbook")]
    summary, evidence, runbook = (_part(text) for text in texts)
    return [summary, lambda limit: _fields(fields, limit), evidence, runbook]


def _many_alerts(message: Facts, block: Texts) -> list[_Part]:
    texts = [block("summary", {"message": message, "alert": {}})]
    texts += [block("alert", {"message": message, "alert": alert}) for alert in message["alerts"]]
    return [_part(text) for text in [*texts, block("more", {"message": message})]]


def _part(text: str) -> _Part:
    return lambda limit: _section(text, limit)


def _payload(text: str, blocks: list[Block]) -> dict[str, Any]:
    return {"text": text, "blocks": blocks, "unfurl_links": False, "unfurl_media": False, "link_names": 0}


def _paragraphs(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def _plain(text: str) -> Block:
    return {"type": "plain_text", "text": text, "emoji": False}


def _mrkdwn(text: str, limit: int) -> Block:
    # verbatim: Slack must not look for links, names and channels in it.
    return {"type": "mrkdwn", "text": cut_mrkdwn(text, limit), "verbatim": True}


def _header(text: str) -> Block:
    return {"type": "header", "text": _plain(cut(" ".join(text.split()), MAX_HEADER))}


def _section(text: str, limit: int) -> list[Block]:
    return [{"type": "section", "text": _mrkdwn(text.strip(), limit)}] if text.strip() else []


def _fields(fields: list[str], limit: int) -> list[Block]:
    shown = [_mrkdwn(text, min(limit, MAX_FIELD, 800)) for text in fields[:MAX_FIELDS]]
    return [{"type": "section", "fields": shown}] if shown else []


def _context(text: str, limit: int) -> list[Block]:
    if not text.strip():
        return []
    return [{"type": "context", "elements": [_mrkdwn(" ".join(text.split()), min(limit, 1_000))]}]


def _buttons(message: Facts) -> list[Block]:
    one = message["alerts"][0] if len(message["alerts"]) == 1 else {}
    links = [
        ("Open in tocsin", one.get("link") or message["link"]),
        ("Runbook", one.get("runbook_url", "")),
    ]
    buttons = [
        {"type": "button", "text": _plain(name), "url": url}
        for name, url in links
        if url and len(url) <= MAX_URL
    ]
    return [{"type": "actions", "elements": buttons}] if buttons else []


def _size(value: Any) -> int:
    """How many characters the texts in it have."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(_size(item) for item in value.values())
    return sum(_size(item) for item in value) if isinstance(value, list) else 0
