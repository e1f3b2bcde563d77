"""The message of last resort: built without a template, so that no typo can lose an alert."""

from __future__ import annotations

from tocsin.alerts.facts import Facts


def plain_headline(message: Facts) -> str:
    """`HIGH 157 failed logins from 203.0.113.9`, or `RESOLVED …`."""
    word = "RESOLVED" if message["status"] == "resolved" else str(message["severity"]).upper()
    return f"{word} {message['headline']}"


def plain_lines(message: Facts) -> list[str]:
    """The whole message, a fact a line."""
    lines = [plain_headline(message)]
    for alert in message["alerts"]:
        lines += ["", *_alert_lines(alert)]
    if message["more"]:
        lines += ["", f"and {message['more']} more alerts"]
    if message["template_error"]:
        lines += ["", f"plain text, because the template failed: {message['template_error']}"]
    return lines


def _alert_lines(alert: Facts) -> list[str]:
    facts = [
        ("Alert", alert["title"]),
        ("What", alert["description"]),
        ("Status", f"{alert['status']}, {alert['severity']}"),
        *((part["name"], part["value"]) for part in alert["group"]),
        ("Score", alert["score"]),
        ("Note", alert["warming"]),
        ("Since", alert["started"]),
        ("Last seen", alert["last"]),
        (
            "Resolved",
            ", lasted ".join(filter(None, (alert["resolved"], alert["lasted"]))) if alert["resolved"] else "",
        ),
        ("Merged into", alert["merged_into"]),
        *((item["name"], _values(item)) for item in alert["evidence"]),
        ("Rule", alert["rule"]),
        ("Tenant", alert["tenant"]),
        ("Runbook", alert["runbook_url"] or alert["runbook"]),
        ("Link", alert["link"]),
    ]
    return [f"{name}: {value}" for name, value in facts if value]


def _resolved(alert: Facts) -> str:
    lasted = f", lasted {alert['lasted']}" if alert["lasted"] else ""
    return f"{alert['resolved']}{lasted}" if alert["resolved"] else ""


def _values(item: Facts) -> str:
    shown = ", ".join(f"{value['text']} ({value['count']})" for value in item["values"])
    return shown + (f" and {item['more']}{'+' if item['open_ended'] else ''} more" if item["more"] else "")
