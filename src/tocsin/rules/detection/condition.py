"""Sigma's condition: `or` < `and` < `not` < `1 of` / `all of` < brackets, parsed by descent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

from tocsin.rules.detection.tree import Test, Tree, all_of, any_of, negated
from tocsin.rules.document import Scalar
from tocsin.rules.problems import Mark, Problems, did_you_mean

MAX_DEPTH = 100
LONGEST_KEPT = 200  # characters of a condition, or a pattern in one, that is remembered
MAX_PARTS = 10_000  # selections, each as often as it is used: "1 of them" may use many
MOST_UNKNOWN = 20  # names; looking for the nearest is slow, and a file may be hostile
_NOTHING = Test("nothing", lambda _event: False)  # in place of what has a mistake
_TOKEN = re.compile(r"[()|]|[^\s()|]+")
_OPERATORS = ("or", "and", "not")
_ANY, _ALL = ("1", "any"), ("all",)
_NONE = ("0", "no", "none")
_COUNTING = ("avg", "count", "max", "min", "sum")
_SIGNS = {"&&": "and", "&": "and", "||": "or", "!": "not", "+": "and"}
_AGGREGATIONS = ("near", "count()", "by")


class _Wrong(Exception):
    """The condition makes no sense here; the text is what and how to fix it."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(message)
        self.column = column


class _Token(NamedTuple):
    text: str
    column: int  # from 0, within the condition
    word: str  # the text, case-folded


def _tokens_of(text: str) -> tuple[_Token, ...]:
    return tuple(
        _Token(found.group(), found.start(), found.group().casefold()) for found in _TOKEN.finditer(text)
    )


def _glob(text: str) -> Callable[[str], object]:
    """Whether a name is like this one, in which `*` is any run of characters."""
    return re.compile(translate(text.replace("[", "[[]").replace("?", "[?]"))).match


_known_glob = lru_cache(maxsize=1_024)(_glob)
_read_before = lru_cache(maxsize=1_024)(_tokens_of)


def parse_condition(
    condition: Scalar,
    selections: Mapping[str, Tree],
    problems: Problems,
    known: Mapping[str, object] | None = None,
    *,
    noun: str = "selection",
) -> tuple[Tree | None, set[str]]:
    """The condition over these selections, and the names of those it used; None after a mistake.

    `known` holds the names that exist, those with mistakes of their own included: using one of
    these is no second mistake. `noun` is what messages call them.
    """
    parser = _Parser(condition.text, selections, selections if known is None else known, noun)
    tree: Tree | None = None
    try:
        tree = parser.parse()
    except _Wrong as exc:
        parser.wrong.append(exc)
    for mistake in parser.wrong:
        problems.error(_place(condition, mistake.column), f"condition: {mistake}")
    return None if parser.wrong or parser.unusable else tree, parser.used


def words_of(condition: Scalar) -> list[str]:
    """The names and operators of a condition, case-folded, without its brackets."""
    return [token.word for token in _tokens_of(condition.text) if token.word not in "()"]


def names_in(condition: Scalar) -> tuple[Scalar, ...]:
    """The names that a condition spells out, each once, where it stands first."""
    found: dict[str, Scalar] = {}
    tokens = _tokens_of(condition.text)
    for token, following in zip_longest(tokens, tokens[1:]):
        quantifies = following is not None and following.word == "of"
        if token.text not in "()|" and token.word not in (*_OPERATORS, "of", "them") and not quantifies:
            found.setdefault(token.text, Scalar(token.text, _place(condition, token.column), plain=True))
    return tuple(scalar for name, scalar in found.items() if "*" not in name)


def _place(condition: Scalar, column: int) -> Mark:
    before = condition.text[:column]
    if "\n" in before:
        return Mark(condition.mark.line + before.count("\n"), 1)
    return Mark(condition.mark.line, condition.mark.column + column + (0 if condition.plain else 1))


class _Parser:
    def __init__(
        self, text: str, selections: Mapping[str, Tree], known: Mapping[str, object], noun: str
    ) -> None:
        # Most rules say the same few conditions; a long one is its rule's own.
        self._tokens = _read_before(text) if len(text) <= LONGEST_KEPT else _tokens_of(text)
        self._end = len(text)
        self._at = 0
        self._depth = 0
        self._parts = 0
        self._selections, self._known, self._noun = selections, known, noun
        self._told: set[str] = set()
        self.used: set[str] = set()
        self.wrong: list[_Wrong] = []  # what can be read past
        self.unusable = False  # it uses a selection with a mistake of its own, told already

    def parse(self) -> Tree:
        if not self._tokens:
            raise _Wrong(0, f"it is empty; name a {self._noun}")
        tree = self._or()
        token = self._peek()
        if token is not None:
            raise _Wrong(token.column, _unexpected(token))
        return tree

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _takes(self, word: str) -> bool:
        token = self._peek()
        if token is None or token.word != word:
            return False
        self._at += 1
        return True

    def _next(self, wanted: str) -> _Token:
        token = self._peek()
        if token is None:
            raise _Wrong(self._end, f"it ends where {wanted} is expected")
        self._at += 1
        return token

    def _or(self) -> Tree:
        parts = [self._and()]
        while self._takes("or"):
            parts.append(self._and())
        return any_of(parts)

    def _and(self) -> Tree:
        parts = [self._not()]
        while self._takes("and"):
            parts.append(self._not())
        return all_of(parts)

    def _not(self) -> Tree:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            token = self._peek()
            raise _Wrong(token.column if token else self._end, f"it is nested deeper than {MAX_DEPTH} levels")
        tree = negated(self._not()) if self._takes("not") else self._term()
        self._depth -= 1
        return tree

    def _term(self) -> Tree:
        token = self._next(f"a {self._noun}")
        if token.text == "(":
            tree = self._or()
            if not self._takes(")"):
                raise _Wrong(token.column, 'this "(" is never closed; add ")"')
            return tree
        following = self._peek()
        if following is not None and following.word == "of":
            self._at += 1
            return self._quantified(token)
        if token.text in ")|" or token.word in _OPERATORS:
            raise _Wrong(token.column, f'a {self._noun} is expected, not "{token.text}"')
        return self._named(token)

    def _quantified(self, quantifier: _Token) -> Tree:
        if quantifier.word in _NONE:
            raise _Wrong(quantifier.column, f'"{quantifier.text} of" is unknown; write "not 1 of"')
        if quantifier.word not in _ANY + _ALL:
            raise _Wrong(
                quantifier.column, f'"{quantifier.text} of" is unknown; write "1 of", "any of" or "all of"'
            )
        pattern = self._next(f'"them" or a pattern like {self._noun}*')
        if pattern.text in "()|":
            raise _Wrong(pattern.column, f'"them" or a pattern is expected, not "{pattern.text}"')
        names = self._matching(pattern)
        trees = [self._selection(name) for name in names] or [_NOTHING]
        return all_of(trees) if quantifier.word in _ALL else any_of(trees)

    def _matching(self, pattern: _Token) -> list[str]:
        if pattern.word == "them":
            names = [name for name in self._known if not name.startswith("_")]
        else:
            matches = (_known_glob if len(pattern.text) <= LONGEST_KEPT else _glob)(pattern.text)
            inside = pattern.text.startswith("_")
            names = [name for name in self._known if matches(name) and (inside or name[:1] != "_")]
        if not names and pattern.word.rstrip("*") == "them":
            raise _Wrong(pattern.column, f'"{pattern.text}" is no pattern of a {self._noun}; write "them"')
        if not names:
            self._unknown(pattern, f'no {self._noun} matches "{pattern.text}"')
        return names

    def _named(self, token: _Token) -> Tree:
        if token.text not in self._known:
            if token.word == "them":
                raise _Wrong(token.column, '"them" needs a number; write "1 of them" or "all of them"')
            if token.text[0] in "!~":
                raise _Wrong(token.column, f'"{token.text[0]}" is no operator; write "not"')
            if (name := token.text.rstrip(",")) in self._known:
                raise _Wrong(
                    token.column + len(name), f'{self._noun}s are joined by "and" or "or", not by ","'
                )
            following = self._peek()
            if token.word in _COUNTING and following is not None and following.text == "(":
                told = f'"{token.text}(…)" left Sigma; write a correlation (or tocsin.correlate) instead'
                raise _Wrong(token.column, told)
            self._unknown(token, f'unknown {self._noun} "{token.text}"')
            return _NOTHING
        return self._selection(token.text)

    def _unknown(self, token: _Token, message: str) -> None:
        """Note it, once a name, and read on."""
        if token.text in self._told:
            return
        self._told.add(token.text)
        mistake = _Wrong(token.column, f"{message}; {did_you_mean(token.text, self._known)}")
        if len(self._told) >= MOST_UNKNOWN:
            raise mistake
        self.wrong.append(mistake)

    def _selection(self, name: str) -> Tree:
        self.used.add(name)
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _Wrong(0, f"it uses {self._noun}s more than {MAX_PARTS} times; split the rule")
        if name not in self._selections:
            self.unusable = True
            return _NOTHING
        return self._selections[name]


def _unexpected(token: _Token) -> str:
    if token.text == "|":
        return 'aggregations after "|" left Sigma; write a correlation (or tocsin.correlate) instead'
    if token.text == ")":
        return 'this ")" closes nothing; remove it'
    if token.text in _SIGNS:
        return f'"{token.text}" is no operator; write "{_SIGNS[token.text]}"'
    if token.word in _AGGREGATIONS:
        return f'"{token.text}" left Sigma; write a correlation (or tocsin.correlate) instead'
    return f'"and" or "or" is expected before "{token.text}"'
