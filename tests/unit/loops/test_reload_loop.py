"""A wish is granted once, and stays one while the store is away."""

from __future__ import annotations

import pytest

from tocsin.errors import RuleError, StoreUnavailable
from tocsin.loops import Health, Reload, Signals
from tocsin.loops import reload as module
from tocsin.reload import Changes, Refused

REFUSED = Refused((RuleError("a.yml", 1, 1, "no"),))


class House:
    def __init__(self, *answers: Changes | Refused | Exception) -> None:
        self.answers = list(answers)
        self.told: list[Changes | Refused] = []
        self.signals, self.health = Signals(), Health()
        self.loop = Reload(self.answered, self.told.append, self.signals, self.health)

    def answered(self) -> Changes | Refused:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.0)


def test_without_a_wish_nothing_is_read() -> None:
    house = House()

    house.loop.once()

    assert house.told == []


@pytest.mark.parametrize("answer", [Changes(rules=1), REFUSED], ids=["taken", "refused"])
def test_a_wish_is_granted_once_and_its_answer_told(answer: Changes | Refused) -> None:
    house = House(answer)
    house.signals.reload.set()

    house.loop.once()
    house.loop.once()

    assert house.told == [answer]


def test_a_wish_outlives_a_store_that_is_away() -> None:
    house = House(StoreUnavailable("away"), Changes(rules=1))
    house.signals.reload.set()
    house.health.troubles["reload"] = "away"

    with pytest.raises(StoreUnavailable):
        house.loop.once()
    house.loop.once()

    assert house.told == [Changes(rules=1)]
    assert house.health.trouble() is None


def test_a_bug_in_a_loader_is_not_met_again_and_again() -> None:
    house = House(RuntimeError("a bug"))
    house.signals.reload.set()

    with pytest.raises(RuntimeError):
        house.loop.once()

    assert not house.signals.reload.is_set()


def test_the_end_is_no_wish() -> None:
    house = House()
    house.signals.end()

    house.loop.once()

    assert house.told == []
