"""`tocsin.category`: a vendor's heading that stands for its event codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tocsin.catalog.provider import PROVIDERS
from tocsin.rules.detection.modifiers import Chain
from tocsin.rules.detection.scope import Scope
from tocsin.rules.detection.tree import Codes, Test, Tree, negated
from tocsin.rules.document import Scalar
from tocsin.rules.problems import Mark, nearest

CATEGORY = "tocsin.category"
OURS = "tocsin."
NO_PRODUCT = (
    "an event category is a provider's own; write logsource.product, "
    "or with taxonomy: ecs test event.category and event.outcome"
)
MOST_HINTS = 20  # a file; looking for the nearest name is slow, and a file may be hostile


def category_test(categories: Iterable[Scalar], scope: Scope) -> Test | None:
    """Whether the event code is one of the categories'; None after a mistake."""
    if not scope.product:
        mark = next((scalar.mark for scalar in categories), Mark(1, 1))
        scope.problems.error(mark, NO_PRODUCT)
        return None
    codes: set[str] = set()
    wrong = 0
    for scalar in categories:
        try:
            codes |= scope.catalog.expand_category(scope.product, scalar.text)
        except KeyError as exc:
            scope.problems.error(scalar.mark, str(exc.args[0]))
            wrong += 1
        if wrong >= MOST_HINTS:
            break
    if wrong:
        return None
    folded = frozenset(code.casefold() for code in codes)
    key = f"{PROVIDERS[scope.product].code_field}|equals={sorted(codes)!r}"
    return Test(
        key, lambda event: event.code.casefold() in folded, codes=Codes({*codes, *folded}), decided=True
    )


def category_item(chain: Chain, values: tuple[Scalar, ...], mark: Mark, scope: Scope) -> Tree | None:
    """The item of a selection that names categories; None after a mistake."""
    if replace(chain, neq=False) != Chain():
        scope.problems.error(mark, f'{CATEGORY} takes no modifier but "neq"; write {CATEGORY}: NAME')
        return None
    test = category_test(values, scope)
    if test is None:
        return None
    return negated(test) if chain.neq else test


def warn_of_ours(written: str, mark: Mark, scope: Scope) -> None:
    """No event has a field called like our keys in a rule."""
    if written.startswith(OURS):
        few = len(scope.problems.warnings) < MOST_HINTS
        near = nearest(written, [CATEGORY]) if few else None
        hint = f'did you mean "{near}"?' if near else f"only {CATEGORY} can stand here; write the event's own"
        scope.problems.warning(mark, f'no event has a field "{written}", so it is never there; {hint}')
