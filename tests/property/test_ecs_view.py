"""The normalised view: right for every sample record, and read field by field as it is read whole.

Laws, on random records of every provider: the quick reader of a field says what the view says; a
test that names event codes lets no event of another code pass, and one that decides by the code
passes all of them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.catalog import PROVIDERS, ecs, lookup
from tocsin.catalog.ecs import FROM_CODE, WORDS, ecs_fields
from tocsin.clock import iso
from tocsin.model.event import Event
from tocsin.rules.detection import ecs as readers
from tocsin.rules.detection import narrow
from tocsin.rules.detection.detections import Detection, compile_detection
from tocsin.rules.detection.fields import Vocabulary, field_of, reader
from tocsin.rules.parse import parse_file
from tocsin.rules.problems import Problems
from tocsin.rules.spec import DetectionDoc
from tocsin.sources.decode import Decoder

DATA = Path(__file__).parents[1] / "data"
CATALOG = Path(ecs.__file__).parent
WHEN = "2026-01-01T00:00:00Z"
SAMPLES = {provider: sorted((DATA / provider).glob("*.json")) for provider in ("auth0", "frontegg")}

# ── Every sample record against a table that knows nothing of the code ───────────────────────────

AUTH0 = {
    "message": ["description"],
    "organization.id": ["organization_id"],
    "organization.name": ["organization_name"],
    "source.ip": ["ip", "client_ip"],
    "tls.client.ja3": ["security_context.ja3"],
    "url.domain": ["hostname"],
    "url.path": ["details.request.path"],
    "http.request.method": ["details.request.method"],
    "user.id": ["user_id"],
    "user.name": ["user_name"],
    "user_agent.original": ["user_agent"],
    "error.message": ["details.error.message", "details.error.reason"],
    "source.geo.continent_code": ["location_info.continent_code"],
    "source.geo.country_iso_code": ["location_info.country_code"],
    "source.geo.country_name": ["location_info.country_name"],
    "source.geo.city_name": ["location_info.city_name"],
    "source.geo.location.lat": ["location_info.latitude"],
    "source.geo.location.lon": ["location_info.longitude"],
    "source.geo.timezone": ["location_info.time_zone"],
}
FRONTEGG = {
    "message": ["description", "message"],
    "organization.id": ["tenantId", "eventContext.tenantId"],
    "source.ip": ["ip"],
    "user.id": ["userId", "user.id", "eventContext.userId"],
    "user.name": ["email", "user.email", "user", "username"],
    "user_agent.original": ["userAgent"],
}
TABLES = {"auth0": AUTH0, "frontegg": FRONTEGG}
VENDORS = {"auth0": "Auth0", "frontegg": "Frontegg"}


def expected(provider: str, record: dict[str, Any], event: Event) -> dict[str, Any]:
    """The view, by brute force: no arrays, no dotted keys, which no sample has."""
    found: dict[str, Any] = {
        "@timestamp": iso(event.time_ms),
        "event.id": event.id,
        "event.code": event.code,
        "event.kind": "event",
        "event.module": provider,
        "event.provider": provider,
        "observer.product": provider,
        "observer.vendor": VENDORS[provider],
    }
    for name, paths in TABLES[provider].items():
        values = [plain(record, path) for path in paths]
        found[name] = next((value for value in values if value not in (None, "")), None)
    for line in (CATALOG / f"{provider}.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["code"] == event.code:
            outcome = row["ecs"].get("outcome", row["outcome"])
            found["event.action"] = row["ecs"]["action"]
            found["event.outcome"] = outcome if outcome in {"success", "failure"} else None
            for name in ("category", "type"):
                words = row["ecs"][name]
                found[f"event.{name}"] = words if len(words) > 1 else words[0]
    name = found.get("user.name")
    if isinstance(name, str) and name.count("@") == 1 and " " not in name:
        found |= {"user.email": name, "user.domain": name.split("@")[1]}
    return {name: value for name, value in found.items() if value not in (None, "")}


def plain(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return None if isinstance(value, dict) else value


def decoded(provider: str, record: Mapping[str, Any], fields: frozenset[str] | None = None) -> Event:
    """The event of a record, which holds as attributes what all readers of the view read."""
    every = frozenset[str]().union(*(readers.attributes_of(name, "") for name in sorted(ecs_fields())))
    decoder = Decoder(every if fields is None else fields, provider=provider)
    events, bad = decoder.decode_records([json.dumps(record).encode()], first=1, now_ms=None)
    assert not bad, bad
    return events[0]


def check_samples() -> int:
    seen = 0
    for provider, files in SAMPLES.items():
        for file in files:
            record = json.loads(file.read_bytes())
            known = PROVIDERS[provider]
            if not any(record.get(field) for field in (*known.time_fields, "log_id")):
                record[known.time_fields[0]] = WHEN  # webhooks have none
            record = record.get("data", record) if provider == "frontegg" else record
            for one in record if isinstance(record, list) else [record]:
                event = decoded(provider, one)
                assert event.ecs == expected(provider, one, event), file.name
                seen += 1
    return seen


def test_every_sample_record_is_what_the_table_says() -> None:
    assert check_samples() >= 87


# ── The laws ─────────────────────────────────────────────────────────────────────────────────────

LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        ["", "203.0.113.9", "ann@example.com", "ann@a@b", "SUCCESS", "failed", "Error", "login", "failure"]
    ),
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.text(max_size=5),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=3), one, max_size=2),
    max_leaves=4,
)
CODES = {
    provider: [*lookup.codes(provider), "unheard_of", *map(str.upper, list(lookup.codes(provider))[:9])]
    for provider in PROVIDERS
}


def paths_of(provider: str) -> list[str]:
    known = PROVIDERS[provider]
    if provider == "ecs":
        return sorted(
            {*ecs_fields(), "user", "event", "source.geo"} - {"@timestamp", "event.id", "organization.id"}
        )
    mapped = {path for paths in known.ecs.values() for path in paths}
    return sorted({*mapped, *known.outcomes} - {known.tenant_field})


@st.composite
def records(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    provider = draw(st.sampled_from(sorted(PROVIDERS)))
    record: dict[str, Any] = {"type": "other"}  # so that a field called data is no envelope
    for path in draw(st.lists(st.sampled_from(paths_of(provider)), max_size=6, unique=True)):
        put(record, path, draw(VALUES), dotted=draw(st.booleans()))
    known = PROVIDERS[provider]
    record[known.time_fields[0]] = WHEN
    record[known.id_fields[0]] = "e1"
    if known.code_field:
        record[known.code_field] = draw(st.sampled_from(CODES[provider]))
    return provider, record


def put(record: dict[str, Any], path: str, value: Any, *, dotted: bool) -> None:
    *above, last = [path] if dotted else path.split(".")
    for step in above:
        below = record.setdefault(step, {})
        if not isinstance(below, dict):
            return
        record = below
    record[last] = value


def check_readers(provider: str, record: Mapping[str, Any]) -> None:
    event = decoded(provider, record)
    view = event.ecs
    for name in sorted(ecs_fields() | set(view)):
        for product in ("", provider):
            field = field_of(name, Vocabulary(product, ecs=True))
            assert reader(field)(event) == view.get(name), (name, product)
            alone = decoded(provider, record, field.attributes)
            assert reader(field)(alone) == view.get(name), (name, product)
        assert readers.ecs_reader(name, "unheard-of")(event) is None


@settings(max_examples=100)
@given(records())
def test_the_reader_of_a_field_says_what_the_view_says(made: tuple[str, dict[str, Any]]) -> None:
    check_readers(*made)


# A question to an event: a field of the view, and the word it is asked for (None: is it missing?).
Question = tuple[str, str | None]
# A condition: a question's number, or `not`, `and` and `or` over conditions.
Condition = Any


def words() -> list[Question]:
    actions = {code.ecs.action for code in lookup.everything()}
    known: list[Question] = [("event.action", action) for action in sorted(actions)]
    known += [(name, word) for name in sorted(WORDS) for word in sorted(WORDS[name])]
    known += [(name, None) for name in (*FROM_CODE, "event.code", "source.ip")]
    return known + [("event.code", code) for code in ("fp", "login.completed", "unheard_of", "4625")]


CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    st.integers(0, 3),
    lambda inner: st.one_of(
        st.tuples(st.just("not"), inner),
        st.tuples(st.sampled_from(["and", "or"]), inner, inner),
    ),
    max_leaves=6,
)


def written(condition: Condition) -> str:
    match condition:
        case int():
            return f"q{condition}"
        case ("not", inner):
            return f"not ({written(inner)})"
        case (word, one, other):
            return f"({written(one)}) {word} ({written(other)})"
        case _:
            raise AssertionError(condition)


def truth_of(condition: Condition, answers: Sequence[bool]) -> bool:
    match condition:
        case int():
            return answers[condition]
        case ("not", inner):
            return not truth_of(inner, answers)
        case (word, one, other):
            each = truth_of(one, answers), truth_of(other, answers)
            return all(each) if word == "and" else any(each)
        case _:
            raise AssertionError(condition)


def answer(view: Mapping[str, Any], question: Question) -> bool:
    name, word = question
    said = view.get(name)
    return any(
        one is None if word is None else str(one).casefold() == word
        for one in (said if isinstance(said, list) else [said])
    )


def compiled(questions: Sequence[Question], condition: Condition, product: str) -> Detection:
    selections = {f"q{place}": {name: word} for place, (name, word) in enumerate(questions)}
    rule = {
        "title": "t",
        "logsource": {"product": product} if product else {"category": "authentication"},
        "taxonomy": "ecs",
        "detection": {**selections, "condition": written(condition)},
    }
    problems = Problems("rule.yml")
    [doc] = parse_file(json.dumps(rule).encode(), problems, lambda _meta: None)
    assert isinstance(doc, DetectionDoc)
    detection = compile_detection(doc, (), lookup, {}, ())
    assert detection is not None, problems.errors
    return detection


def check_codes(
    questions: Sequence[Question], condition: Condition, product: str, provider: str, record: Any
) -> None:
    """A condition's codes and what is left to ask say together what the view says."""
    if product not in ("", provider):
        return
    matcher = compiled(questions, condition, product).matcher()
    event = decoded(provider, record)
    truth = truth_of(condition, [answer(event.ecs, question) for question in questions])
    by_code = matcher.codes is None or event.code in matcher.codes
    assert truth is (by_code and (matcher.matches is None or matcher.matches(event)))


@settings(max_examples=250)
@given(
    records(),
    st.lists(st.sampled_from(words()), min_size=4, max_size=4),
    CONDITIONS,
    st.sampled_from(["", *PROVIDERS]),
)
def test_the_codes_of_a_condition_leave_no_event_out(
    made: tuple[str, dict[str, Any]], questions: list[Question], condition: Condition, product: str
) -> None:
    check_codes(questions, condition, product, *made)


def check_every_code() -> None:
    """The same for every code there is and every word that the catalogue says of it, asked and denied."""
    asked: dict[tuple[Question, str], list[tuple[str, dict[str, str]]]] = defaultdict(list)
    for code in lookup.everything():
        known = PROVIDERS[code.provider]
        record = {known.code_field: code.code, known.time_fields[0]: WHEN, known.id_fields[0]: "1"}
        for name in FROM_CODE:
            said = ecs.of_code(code.provider, code.code, name)
            for word in said if isinstance(said, list) else [said or "failure"]:
                for product in ("", code.provider):
                    asked[(name, word), product].append((code.provider, record))
    for (question, product), events in asked.items():
        for condition in (0, ("not", 0)):
            matcher = compiled([question], condition, product).matcher()
            for provider, record in events:
                event = decoded(provider, record)
                truth = truth_of(condition, [answer(event.ecs, question)])
                by_code = matcher.codes is None or event.code in matcher.codes
                assert truth is (by_code and (matcher.matches is None or matcher.matches(event)))


def test_every_code_of_the_catalogue_is_found_by_what_it_says() -> None:
    check_every_code()


# ── Planted mistakes: each must be seen ──────────────────────────────────────────────────────────

NESTED = {
    "log_id": "1",
    "date": WHEN,
    "type": "fp",
    "location_info": {"country_code": "ES"},
}
STATUS = {
    "frontegg_id": "1",
    "createdAt": WHEN,
    "eventKey": "login.completed",
    "status": "FAILED",
}
PROXY = {"log_id": "1", "date": WHEN, "type": "fp", "ip": "", "client_ip": "203.0.113.9"}
DOCUMENT = {"event.id": "1", "@timestamp": WHEN, "source": {"ip": "203.0.113.9"}}
FIXED = [("auth0", NESTED), ("auth0", PROXY), ("frontegg", STATUS), ("ecs", DOCUMENT)]


def everything() -> None:
    check_samples()
    for provider, record in FIXED:
        check_readers(provider, record)
    check_every_code()
    check_codes([("event.outcome", "failure")], 0, "frontegg", "frontegg", STATUS)
    check_codes([("event.action", None)], 0, "", "auth0", {**PROXY, "type": "unheard_of"})
    check_codes([("source.ip", None)], ("not", 0), "", "auth0", PROXY)


def _only_the_first_path(name: str, provider: Any) -> Any:
    return readers._vendor_reader(provider.ecs.get(name, ())[:1])


def _as_if_no_status(name: str, product: str, leaf: Callable[[Any], bool]) -> Any:
    """As if no status could say anything else than the code."""
    if name not in FROM_CODE:
        return None
    return {
        provider: frozenset(
            code.casefold() for code in lookup.codes(provider) if leaf(ecs.of_code(provider, code, name))
        )
        for provider in PROVIDERS
        if product in ("", provider) and PROVIDERS[provider].code_field
    }


def _as_if_all_were_known(name: str, product: str, leaf: Callable[[Any], bool]) -> Any:
    """As if there were no code but those of the catalogue."""
    told = readers.told_by_code(name, product, leaf)
    return told and {provider: codes - {readers.UNKNOWN} for provider, codes in told.items()}


def _as_if_not_were_sure(tree: Any, provider: str, every: frozenset[str]) -> Any:
    """As if what may pass a part always did."""
    may = RIGHT(tree, provider, every).may
    return narrow._Passing(may, may)


RIGHT = narrow._of_test

PLANTED: dict[str, tuple[str, Any]] = {
    "a reader that knows one vendor field only": ("tocsin.rules.detection.ecs._own", _only_the_first_path),
    "a reader that trusts the code": (
        "tocsin.rules.detection.ecs._OF_VENDORS",
        {**readers._OF_VENDORS, "event.outcome": readers._from_code},
    ),
    "a document read as it is nested": ("tocsin.model.event.flattened", lambda record: record),
    "a view that trusts the code": ("tocsin.catalog.ecs.told_outcome", lambda *_: ""),
    "a view of one vendor field only": (
        "tocsin.catalog.ecs.vendor_value", lambda record, paths: record.get(paths[0]) or None
    ),
    "a view with empty texts": ("tocsin.catalog.ecs.MISSING", (None,)),
    "an e-mail address is any text": ("tocsin.catalog.ecs.email_of", lambda text: text),
    "codes as if a status told nothing": ("tocsin.rules.detection.view.told_by_code", _as_if_no_status),
    "codes as if all were known": ("tocsin.rules.detection.view.told_by_code", _as_if_all_were_known),
    "a denial of what is not sure": ("tocsin.rules.detection.narrow._of_test", _as_if_not_were_sure),
}  # fmt: skip


def test_the_laws_hold_for_the_records_that_show_the_planted_mistakes() -> None:
    everything()


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_seen(mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, what = PLANTED[mistake]
    monkeypatch.setattr(where, what)
    _forget_readers()
    try:
        with pytest.raises(AssertionError):
            everything()
    finally:
        monkeypatch.undo()
        _forget_readers()


def _forget_readers() -> None:
    reader.cache_clear()
