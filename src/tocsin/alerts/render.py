"""A decision made a message: facts, through the channel's template, into what the channel sends.

A template that fails costs its looks, never the alert: the plain message stands in and says why.
The webhook's JSON is built here, without a template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from jinja2 import Template

from tocsin.alerts.decision import Send
from tocsin.alerts.escape import clean, cut
from tocsin.alerts.facts import MOST_ALERTS, Facts, inert, message_facts
from tocsin.alerts.headline import title
from tocsin.alerts.plain import plain_headline, plain_lines
from tocsin.alerts.slack_blocks import plain_payload, slack_payload
from tocsin.errors import ConfigError
from tocsin.model.alert import as_record
from tocsin.model.notification import Notification
from tocsin.sandbox import Sandbox, TemplateFailure, compile_template, render, render_block

__all__ = ["Renderer", "title"]

LONGEST_SUBJECT = 200
# A line of a console template: `style| text`. Event text has no line breaks, so it cannot start one.
_STYLED = re.compile(r"([a-z]{1,20})\| ?(.*)", re.DOTALL)
_TEMPLATES = {"console": ["console.j2"], "slack": ["slack.j2"], "email": ["email.txt.j2", "email.html.j2"]}
Body = dict[str, Any]
log = structlog.get_logger()


class Renderer:
    """Renders with the templates of `template_dirs`; of a name, the first folder that has it wins.

    `external_url` is where this installation's console is reached, for links; `timezone` an IANA
    name. A template is read once, when it is first needed.
    """

    def __init__(
        self, template_dirs: Sequence[Path], *, external_url: str | None = None, timezone: str = "UTC"
    ) -> None:
        self._dirs = tuple(template_dirs)
        self._external_url = (external_url or "").rstrip("/")
        self._zone = ZoneInfo(timezone)
        self._templates: dict[str, Template | TemplateFailure] = {}
        self._bodies: Mapping[str, Callable[[Facts], Body]] = {
            "console": self._console,
            "slack": self._slack,
            "email": self._email,
        }

    def render(self, send: Send, channel_type: str, channel: str, now: datetime) -> Notification:
        """The message for a channel of that type. Never fails for what a template or an event says."""
        titles = {alert.id: title(alert) for alert in [*send.firing, *send.resolved][:MOST_ALERTS]}
        message = message_facts(send, titles, external_url=self._external_url, zone=self._zone)
        if channel_type == "webhook":
            body = _webhook(send, titles)
        else:
            body = self._body(channel_type, channel, message)
        return Notification(
            id=send.id,
            channel=channel,
            group_key=send.group_key,
            status=message["status"],
            severity=message["severity"],
            summary=clean(plain_headline(message), 300),
            alert_ids=tuple(alert.id for alert in [*send.firing, *send.resolved]),
            body=_encodable(body),
            created_at=now,
        )

    def problems(self) -> list[str]:
        """What is wrong with the templates, one line each: for `config check`."""
        found = []
        for name in [name for names in _TEMPLATES.values() for name in names]:
            try:
                self._template(name)
            except TemplateFailure as exc:
                found.append(str(exc))
        return found

    def _body(self, channel_type: str, channel: str, message: Facts) -> Body:
        try:
            return self._bodies.get(channel_type, self._text(channel_type))(message)
        except TemplateFailure as exc:
            log.warning("template.failed", channel=channel, type=channel_type, error=str(exc))
            message["template_error"] = clean(str(exc), 300)
            return _plain_body(channel_type, message)

    def _console(self, message: Facts) -> Body:
        return _styled(render(self._template("console.j2"), {"message": inert(message)}))

    def _slack(self, message: Facts) -> Body:
        template = self._template("slack.j2")
        return slack_payload(message, lambda name, facts: render_block(template, name, facts))

    def _email(self, message: Facts) -> Body:
        text = self._template("email.txt.j2")
        context = {"message": inert(message)}
        subject = render_block(text, "subject", context)
        return {
            "subject": _one_line(subject) or _one_line(plain_headline(message)),
            "text": render_block(text, "text", context).strip() + "\n",
            "html": render(self._template("email.html.j2"), context),
        }

    def _text(self, channel_type: str) -> Callable[[Facts], Body]:
        """Any other type: the text of `TYPE.j2`, else the plain message."""

        def body(message: Facts) -> Body:
            unclickable = inert(message)
            if self._path(f"{channel_type}.j2") is None:
                return _plain_body(channel_type, message)
            text = render(self._template(f"{channel_type}.j2"), {"message": unclickable}).strip()
            return {"title": plain_headline(unclickable), "text": text}

        return body

    def _template(self, name: str) -> Template:
        if name not in self._templates:
            self._templates[name] = self._load(name)
        template = self._templates[name]
        if isinstance(template, TemplateFailure):
            raise template
        return template

    def _load(self, name: str) -> Template | TemplateFailure:
        path = self._path(name)
        if path is None:
            places = ", ".join(str(place) for place in self._dirs) or "no folder"
            return TemplateFailure(f"there is no template {name} in {places}")
        try:
            source = path.read_text(encoding="utf-8")
            return compile_template(source, environment=Sandbox(autoescape=name.endswith(".html.j2")))
        except (OSError, UnicodeDecodeError) as exc:
            return TemplateFailure(f"{path}: cannot be read: {exc}")
        except TemplateFailure as exc:
            return TemplateFailure(f"{path}: {exc}")

    def _path(self, name: str) -> Path | None:
        return next((place / name for place in self._dirs if (place / name).is_file()), None)


def check_templates(template_dirs: Sequence[Path]) -> None:
    """Compile every template.

    Raises:
        ConfigError: all that is wrong with them.
    """
    problems = Renderer(template_dirs).problems()
    if problems:
        raise ConfigError("\n".join(problems))


def _webhook(send: Send, titles: Mapping[str, str]) -> Body:
    alerts = [*send.firing, *send.resolved]
    more = len(alerts) - MOST_ALERTS
    return {
        "version": 1,
        "status": "firing" if send.firing else "resolved",
        "group": send.labels,
        "alerts": [as_record(alert, titles[alert.id]) for alert in alerts[:MOST_ALERTS]],
        **({"more": more} if more > 0 else {}),
    }


def _styled(text: str) -> Body:
    lines = []
    for line in text.strip("\n").split("\n"):
        found = _STYLED.fullmatch(line)
        lines.append([found[1], found[2].rstrip()] if found else ["", line.rstrip()])
    return {"text": "\n".join(line for _, line in lines), "lines": lines}


def _plain_body(channel_type: str, message: Facts) -> Body:
    if channel_type == "slack":
        return plain_payload(message)
    unclickable = inert(message)
    text = "\n".join(plain_lines(unclickable))
    match channel_type:
        case "email":
            return {"subject": _one_line(plain_headline(unclickable)), "text": text + "\n", "html": ""}
        case "console":
            return _styled(text)
        case _:
            return {"title": plain_headline(unclickable), "text": text}


def _one_line(text: str) -> str:
    return cut(clean(" ".join(text.split()), LONGEST_SUBJECT), LONGEST_SUBJECT)


def _encodable(value: Any) -> Any:
    """Without halves of characters, which no JSON document can hold: the outbox must take it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
