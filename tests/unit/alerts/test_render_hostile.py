"""Whatever an attacker writes into a log: every message is valid for its channel, readable, and inert."""

from __future__ import annotations

import html.parser
import json
import re
import unicodedata
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tocsin.alerts import escape, facts, slack_blocks
from tocsin.alerts.decision import Reason
from tocsin.alerts.render import Renderer
from tocsin.model.alert import Alert, Evidence, Value
from tocsin.model.notification import Notification
from tocsin.model.rule import SEVERITIES

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEMPLATES = Path(__file__).parents[3] / "alerts" / "templates"
RENDERER = Renderer([TEMPLATES], external_url="https://tocsin.example")
CHANNELS = ("console", "slack", "email", "webhook", "apprise")
CORPUS = [
    "<!channel> wake up",
    "<!here>",
    "<@U012AB3CD>",
    "<#C123>",
    "<!subteam^S1>",
    "<http://evil.example|reset your password>",
    "http://evil.example/a?b=c",
    "www.evil.example",
    "*bold* _it_ ~no~ `code` ```block```",
    "`end of code` <!channel>",
    "&lt;!channel&gt; &amp;",
    "x\n✅ Resolved: nothing to see",
    "x\r\nBcc: victim@example.com",
    "x\u2028y\u2029z\x85w\x0bv",
    "critical| painted line",
    "\x1b[2J\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "[link=http://evil.example]click[/link] [red]x[/]",
    "\u202egnp.exe\u202c \u200badmin\u200b\ufeff",
    "<script>alert(1)</script><img src=http://evil.example/x.png>",
    "\" onmouseover=alert(1) x='",
    "javascript:alert(1)",
    "{{7*7}} {% for x in y %} {# c #}",
    "${jndi:ldap://evil.example/a}",
    "=cmd|' /C calc'!A0",
    "half \ud800 a character \udfff",
    "\x00",
    "",
    " ",
    "a" * 100_000,
    "😀" * 5_000,
    "&" * 5_000,
    "`" * 5_000,
    '"\\' * 3_000,
    ("word " * 900),
]
words = st.one_of(
    st.integers(0, len(CORPUS) - 1).map(lambda n: CORPUS[n]),  # drawn by number: its text is long
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.sampled_from("<>&`\n\x1b"),
)
hostile = st.one_of(words, st.lists(words, max_size=4).map("".join))
severities = st.sampled_from(SEVERITIES)


times = st.one_of(st.integers(0, 4_000_000_000_000), st.integers(-62_135_596_800_000, 253_402_300_799_999))
headlines = st.sampled_from(["{{ score }} of {{ group.values() | join(' ') }}", "{{ broken", "plain"])


def is_no_link(text: str) -> bool:
    """A runbook that is a link is the rule's own, and may be followed."""
    return not text.strip().startswith("http")


links = st.just("https://runbooks.example/" + "a" * 900)
many_values = st.tuples(hostile, st.integers(1, 20)).map(lambda drawn: [Value(drawn[0], 3)] * drawn[1])


@st.composite
def alerts(draw: st.DrawFn, number: int = 0) -> Alert:
    over = draw(st.booleans())
    return Alert(
        id=f"{number:016x}",
        fingerprint="f" * 16,
        tenant=draw(hostile),
        rule=draw(hostile),
        rule_id="r",
        severity=draw(severities),
        started_ms=draw(times),
        last_ms=draw(times),
        score=draw(st.one_of(st.integers(0, 10**9), st.floats(0, 1e9))),
        status="resolved" if over else "firing",
        resolved_ms=draw(times) if over else None,
        fired_ms=1,
        floor=draw(st.booleans()),
        late=draw(st.booleans()),
        merged_into=draw(st.one_of(st.none(), st.just("a" * 16))) if over else None,
        group=draw(st.dictionaries(st.one_of(st.just("data.ip"), hostile), hostile, max_size=6)),
        labels={"entity": draw(hostile)},
        annotations={
            "headline": draw(headlines),
            "rule_title": draw(hostile),
            "description": draw(hostile),
            "timespan": draw(hostile),
            "runbook": draw(st.one_of(hostile.filter(is_no_link), links)),
        },
        evidence=Evidence(
            total=draw(st.integers(0, 9999)),
            approximate=draw(st.booleans()),
            values=draw(st.dictionaries(hostile, many_values, max_size=5)),
        ),
    )


@st.composite
def crowds(draw: st.DrawFn) -> list[Alert]:
    size = draw(st.sampled_from([1, 1, 2, 5, 30]))
    few = [draw(alerts(number)) for number in range(min(size, 3))]
    return [msgspec.structs.replace(few[n % len(few)], id=f"{n:016x}") for n in range(size)]


def rendered(crowd: list[Alert], channel: str, send_of: Any) -> Notification:
    firing = [alert for alert in crowd if alert.status == "firing"]
    over = [alert for alert in crowd if alert.status != "firing"]
    return RENDERER.render(
        send_of(firing, over, Reason.NEW, entity=crowd[0].labels["entity"]), channel, channel, NOW
    )


class Refused(Exception):
    """Slack's answer to a payload it does not like."""


def slack_takes(payload: dict[str, Any]) -> None:
    """What Slack checks, as far as its documentation and its error messages tell."""
    document = json.loads(json.dumps(payload, allow_nan=False).encode("utf-8"))
    blocks = document["blocks"]
    _need(1 <= len(blocks) <= 50, "1 to 50 blocks")
    _need(0 < len(document["text"]) <= 4000, "text")
    total = len(document["text"])
    for text in _texts(blocks):
        _need(text["type"] in ("plain_text", "mrkdwn"), "kind of text")
        _need(bool(text["text"].strip()), "empty text")
        total += len(text["text"])
    _need(total <= 13_000, "13,000 characters")
    for block in blocks:
        _BLOCKS[block["type"]](block)


def _header(block: dict[str, Any]) -> None:
    _need(block["text"]["type"] == "plain_text" and len(block["text"]["text"]) <= 150, "header")


def _section(block: dict[str, Any]) -> None:
    _need(("text" in block) or ("fields" in block), "a section without text")
    _need(len(block.get("text", {"text": ""})["text"]) <= 3000, "3,000 characters")
    _need(len(block.get("fields", [])) <= 10, "10 fields")
    _need(all(len(field["text"]) <= 2000 for field in block.get("fields", [])), "2,000 characters")


def _actions(block: dict[str, Any]) -> None:
    _need(1 <= len(block["elements"]) <= 25, "buttons")
    for button in block["elements"]:
        _need(button["type"] == "button" and len(button["text"]["text"]) <= 75, "a button's text")
        _need(re.fullmatch(r"https?://\S{1,2980}", button["url"]) is not None, "a button's link")


def _context(block: dict[str, Any]) -> None:
    _need(1 <= len(block["elements"]) <= 10, "context")
    _need(all(len(element["text"]) <= 3000 for element in block["elements"]), "3,000 characters")


_BLOCKS = {"header": _header, "section": _section, "actions": _actions, "context": _context}


def _need(condition: bool, what: str) -> None:
    if not condition:
        raise Refused(what)


def _texts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        own = [value] if value.get("type") in ("plain_text", "mrkdwn") else []
        return own + [text for item in value.values() for text in _texts(item)]
    return []


def slack_is_inert(payload: dict[str, Any]) -> None:
    """No text that Slack would read as a mention, a link or markup of the attacker's."""
    assert payload["unfurl_links"] is False
    assert payload["unfurl_media"] is False
    assert payload["link_names"] == 0
    for text in [payload["text"], *(t["text"] for t in _texts(payload["blocks"]) if t["type"] == "mrkdwn")]:
        assert "<" not in text
        assert ">" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;)", text), "half an entity"
    for text in _texts(payload["blocks"]):
        assert text["type"] == "plain_text" or text["verbatim"] is True
        assert text.get("emoji", False) is False


def is_visible(text: str) -> None:
    for character in text:
        assert character == "\n" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp"), repr(
            character
        )
        assert unicodedata.bidirectional(character) not in (
            "RLO",
            "LRO",
            "RLE",
            "LRE",
            "PDF",
            "RLI",
            "LRI",
            "FSI",
            "PDI",
        )
        assert character not in "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f"


class Tags(html.parser.HTMLParser):
    """Every tag and attribute of a document."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        for name, value in attrs:
            assert name in ("style", "href", "cellpadding", "valign"), name
            if name == "href":
                self.links.add(value or "")


def email_is_inert(body: dict[str, str]) -> None:
    message = EmailMessage(policy=SMTP)
    message["Subject"] = body["subject"]
    assert len(body["subject"]) <= 200
    assert body["subject"].strip()
    message.set_content(body["text"])
    message.add_alternative(body["html"], subtype="html")
    head = message.as_bytes().split(b"\r\n\r\n")[0]
    assert b"\r\nBcc:" not in head
    tags = Tags()
    tags.feed(body["html"])
    assert tags.seen <= {"html", "body", "h2", "h3", "p", "table", "tr", "td", "b", "code", "a"}
    assert all(link.startswith(("https://tocsin.example", "https://runbooks.example")) for link in tags.links)


def check(channel: str, notification: Notification) -> None:
    msgspec.json.encode(notification)
    is_visible(notification.summary)
    assert "\n" not in notification.summary
    body = notification.body
    match channel:
        case "slack":
            slack_takes(body)
            slack_is_inert(body)
            for text in _texts(body["blocks"]):
                is_visible(text["text"])
        case "email":
            email_is_inert(body)
            is_visible(body["subject"] + body["text"] + body["html"])
        case "console":
            is_visible(body["text"])
            assert [line for _, line in body["lines"]] == body["text"].split("\n")
            assert {style for style, _ in body["lines"]} <= KNOWN_STYLES
        case "webhook":
            assert (body["version"], len(body["alerts"]) <= 20) == (1, True)
        case _:
            is_visible(body["text"])


KNOWN_STYLES = {"", "resolved", "good", "fact", "evidence", "muted", *SEVERITIES}


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("text", CORPUS, ids=range(len(CORPUS)))
@pytest.mark.parametrize("size", [1, 25])
def test_an_attack_in_every_field_makes_a_valid_and_inert_message(size, text, channel, alert_of, send_of):
    evidence = Evidence(total=9, values={"data.user_name": [Value(text, 5)] * 20, text: [Value(text, 1)]})
    crowd = [
        alert_of(
            n, group={"data.ip": text, text: text}, labels={"entity": text}, tenant=text, evidence=evidence
        )
        for n in range(size)
    ]

    check(channel, rendered(crowd, channel, send_of))


@pytest.mark.parametrize("channel", CHANNELS)
def test_any_text_in_any_field_makes_a_valid_and_inert_message(channel, send_of):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(crowds())
    def law(crowd):
        check(channel, rendered(crowd, channel, send_of))

    law()


SOURCES = st.lists(
    st.sampled_from(
        [
            "{{ message.headline }}",
            "{{ message.alerts[0].title }}",
            "{% for alert in message.alerts %}{{ alert.title }} {% endfor %}",
            "{% for n in range(300) %}{{ n }}\n\n{% endfor %}",
            "{{ nothing }}",
            "\n\n",
            "`",
            "x" * 4000,
        ]
    ),
    max_size=5,
).map("".join)
BLOCKS = st.sampled_from(
    ["header", "text", "summary", "fields", "evidence", "runbook", "footer", "alert", "more"]
)


def test_no_template_of_an_operator_can_make_a_message_that_slack_refuses(tmp_path, send_of):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(SOURCES, BLOCKS, crowds())
    def law(source, block, crowd):
        (tmp_path / "slack.j2").write_text(f"{{% block {block} %}}{source}{{% endblock %}}", encoding="utf-8")
        firing = [msgspec.structs.replace(alert, status="firing", merged_into=None) for alert in crowd]

        slack_takes(Renderer([tmp_path]).render(send_of(firing), "slack", "s", NOW).body)

    law()


MISTAKES = {
    "nothing is cleaned": (facts, "clean", lambda text, limit=0: text),
    "nothing is escaped for Slack": (slack_blocks, "for_slack", lambda text: text),
    "nothing is cut": (slack_blocks, "cut_mrkdwn", lambda text, limit: text),
    "half entities are left": (escape, "_HALF_ENTITY", re.compile("(?!)")),
    "invisible characters are left": (escape, "_UNSEEN", re.compile("(?!)")),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_checks_notice_a_planted_mistake(mistake, alert_of, send_of, monkeypatch):
    module, name, wrong = MISTAKES[mistake]
    monkeypatch.setattr(module, name, wrong)

    def everything() -> None:
        for text in CORPUS:
            values = {"data.user_name": [Value(text, 5)] * 20}
            alert = alert_of(
                1, group={"data.ip": text}, labels={"entity": text}, evidence=Evidence(total=9, values=values)
            )
            for channel in ("slack", "console", "email"):
                check(channel, rendered([alert] * 3, channel, send_of))
                check(channel, rendered([alert], channel, send_of))

    with pytest.raises((AssertionError, Refused)):
        everything()
