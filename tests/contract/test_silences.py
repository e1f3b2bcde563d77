"""One suite for every store of silences."""

from datetime import UTC, datetime, timedelta

import pytest

from tocsin.model.silence import Silence, parse_matcher
from tocsin.state.silences import MemorySilences, RedisSilences

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
H = timedelta(hours=1)


@pytest.fixture(params=["memory", "redis"])
def silences(request):
    return MemorySilences() if request.param == "memory" else RedisSilences(request.getfixturevalue("store"))


def silence(id_: str, *, hours: float = 2, comment: str = "") -> Silence:
    matchers = (parse_matcher('severity=~"high|critical"'), parse_matcher("entity=ip:203.0.113.9"))
    return Silence(
        id=id_, matchers=matchers, starts_at=T, ends_at=T + hours * H, created_by="ann", comment=comment
    )


def test_what_is_added_is_listed_as_it_was(silences):
    assert silences.list() == []
    silences.add(silence("s1", comment="maintenance ‐ “DB”\n"))

    (found,) = silences.list()

    assert found == silence("s1", comment="maintenance ‐ “DB”\n")
    assert found.mutes({"severity": "high", "entity": "ip:203.0.113.9"}, T)


def test_the_soonest_to_end_is_listed_first(silences):
    for id_, hours in [("late", 9), ("b", 1), ("soon", 0.5), ("a", 1)]:
        silences.add(silence(id_, hours=hours))

    assert [s.id for s in silences.list()] == ["soon", "a", "b", "late"]


def test_adding_an_id_again_replaces_it(silences):
    silences.add(silence("s1"))
    silences.add(silence("s1", hours=5))

    assert [s.ends_at for s in silences.list()] == [T + 5 * H]


def test_expiring_ends_it_now_and_keeps_it_in_the_list(silences):
    silences.add(silence("s1"))

    assert silences.expire("s1", T + H) is True

    (found,) = silences.list()
    assert found.ends_at == T + H
    assert not found.mutes({"severity": "high", "entity": "ip:203.0.113.9"}, T + H)


def test_expiring_one_that_has_ended_does_not_make_it_longer(silences):
    silences.add(silence("s1", hours=1))

    assert silences.expire("s1", T + 3 * H) is True
    assert silences.list()[0].ends_at == T + H


def test_expiring_what_is_not_there_says_so(silences):
    assert silences.expire("nobody", T) is False


def test_forget_deletes_only_what_ended_before(silences):
    for id_, hours in [("old", 1), ("edge", 2), ("active", 9)]:
        silences.add(silence(id_, hours=hours))

    assert silences.forget(T + 2 * H) == 1
    assert [s.id for s in silences.list()] == ["edge", "active"]
    assert silences.forget(T + 2 * H) == 0
