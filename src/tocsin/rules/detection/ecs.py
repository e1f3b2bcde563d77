"""Fields of the normalised view, read quickly: for each provider the vendor fields they come from.

What a field is, `tocsin.catalog.ecs` says; here is only how to read one without making them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any

from tocsin.catalog.ecs import FROM_CODE, MISSING, domain_of, email_of, one_or_many, told_of_codes
from tocsin.catalog.lookup import codes
from tocsin.catalog.provider import ECS, PROVIDERS, Provider
from tocsin.clock import iso
from tocsin.model.alert import Reader
from tocsin.model.event import Event, attribute
from tocsin.model.place import Locator, Place
from tocsin.rules.detection.paths import is_flat, members_of, path_members

UNKNOWN = "\0"  # stands for every code that the catalogue does not know
_NAMED = ("user.email", "user.name")  # what `user.email` and `user.domain` are told by


def ecs_reader(name: str, product: str, locator: Locator | None = None) -> Reader:
    """Reads a field of the view of this product's events (empty: of any); None where it is missing.

    Where the record does not say where its address is, `locator` may know.
    """
    own = _of_products(name, product)
    if locator is None or name not in _OF_PLACES:
        return own
    return _located(own, ecs_reader("source.ip", product), _OF_PLACES[name], locator)


def _of_products(name: str, product: str) -> Reader:
    if product:
        return _reader(name, PROVIDERS[product]) if product in PROVIDERS else _nothing
    readers = {provider.name: _reader(name, provider) for provider in PROVIDERS.values()}

    def read(event: Event) -> object:
        return readers.get(event.provider, _nothing)(event)

    return read


def _located(own: Reader, address: Reader, told: Callable[[Place], object], locator: Locator) -> Reader:
    def read(event: Event) -> object:
        value = own(event)
        text = address(event) if value is None else None
        place = locator.locate(text) if isinstance(text, str) else None
        return value if place is None else told(place)

    return read


def seen_in_view(event: Event, name: str, locator: Locator | None) -> object:
    """As the reader, but from the whole record, whatever the event holds as attributes."""
    view = event.ecs
    told = _OF_PLACES.get(name) if locator is not None and name not in view else None
    place = locator.locate(str(view.get("source.ip"))) if locator is not None and told else None
    return told(place) if told and place else view.get(name)


def attributes_of(name: str, product: str) -> frozenset[str]:
    """The top-level vendor fields that reading it takes from the event's attributes."""
    names = (name, "source.ip") if name in _OF_PLACES else (name,)
    found = [path for one in names for provider in _providers(product) for path in _paths(one, provider)]
    return frozenset(path for path in found if is_flat(path))


def is_deep(name: str, product: str) -> bool:
    """Whether reading it decodes whole records, but those of ECS documents, which always are."""
    vendors = [provider for provider in _providers(product) if provider.name != ECS]
    return not vendors or any(not is_flat(path) for one in vendors for path in _paths(name, one))


def told_by_code(name: str, product: str, leaf: Callable[[Any], bool]) -> Mapping[str, frozenset[str]] | None:
    """By provider, the codes (case-folded) whose events pass, be they known or `UNKNOWN`.

    Providers whose codes do not tell are left out; None where that is all of them.
    """
    if name not in FROM_CODE:
        return None
    missing = frozenset({UNKNOWN}) if leaf(None) else frozenset[str]()
    passing = frozenset(word for word in _words(name) if leaf(word))
    found = {
        provider.name: missing.union(*(_said(provider.name, name).get(word, ()) for word in passing))
        for provider in _providers(product)
        if provider.code_field and not (name == "event.outcome" and provider.outcomes)
    }
    if missing:
        found = {provider: some | _silent(provider, name) for provider, some in found.items()}
    return found or None


@cache
def _words(name: str) -> tuple[str, ...]:
    """All that a catalogue says in the field."""
    return tuple(dict.fromkeys(word for provider in PROVIDERS for word in _said(provider, name)))


@cache
def _said(provider: str, name: str) -> Mapping[str, frozenset[str]]:
    """What the catalogue says in the field, word by word, with the codes (case-folded) it says it of."""
    found: dict[str, set[str]] = {}
    for code, value in told_of_codes(provider, name).items():
        for word in members_of(value):
            found.setdefault(word, set()).add(code)
    return {word: frozenset(some) for word, some in found.items()}


@cache
def _silent(provider: str, name: str) -> frozenset[str]:
    """The codes of which the catalogue says nothing there."""
    return frozenset(code.casefold() for code in codes(provider)) - told_of_codes(provider, name).keys()


def _providers(product: str) -> list[Provider]:
    return [provider for provider in PROVIDERS.values() if product in ("", provider.name)]


def _paths(name: str, provider: Provider) -> tuple[str, ...]:
    """Every vendor field that reading the view's field may look at."""
    if name == "event.outcome":
        return tuple(provider.outcomes)
    names = _NAMED if name in ("user.email", "user.domain") else ()
    return tuple(path for each in (name, *names) for path in provider.ecs.get(each, ()))


def _reader(name: str, provider: Provider) -> Reader:
    """Reads a field of the view of one provider's events."""
    make = _OF_ANY.get(name)
    if make is None and provider.name != ECS:
        make = _OF_VENDORS.get(name)
    return make(name, provider) if make is not None else _own(name, provider)


def _vendor_reader(paths: tuple[str, ...]) -> Reader:
    """The first of these vendor fields that the record has."""
    if not paths:
        return _nothing
    each = [path_members(path, flat=is_flat(path)) for path in paths]

    def find(event: Event) -> object:
        for members in each:
            values = [one for one in members(event) if one not in MISSING and type(one) is not dict]
            if values:
                return one_or_many(values)
        return None

    if not is_flat(paths[0]):
        return find
    first: Reader = attrgetter(attribute(paths[0]))

    def read(event: Event) -> object:
        value = first(event)
        return value if type(value) is str and value else find(event)

    return read


def _document_reader(name: str) -> Reader:
    """A field of an ECS document, which the event holds by dotted names."""
    return lambda event: event.fields.get(name)


def _own(name: str, provider: Provider) -> Reader:
    """What the record itself says in the field."""
    return _document_reader(name) if provider.name == ECS else _vendor_reader(provider.ecs.get(name, ()))


def _from_code(name: str, provider: Provider) -> Reader:
    told = told_of_codes(provider.name, name)
    return lambda event: told.get(event.code.casefold())


def _outcome(name: str, provider: Provider) -> Reader:
    """What the record tells, else what its code does."""
    tellers: list[tuple[Reader, Mapping[str, str]]] = [
        (attrgetter(attribute(field)), meanings) for field, meanings in provider.outcomes.items()
    ]
    by_code = _from_code(name, provider)

    def read(event: Event) -> object:
        for get, meanings in tellers:
            text = get(event)
            if type(text) is str and (outcome := meanings.get(text.strip().casefold())):
                return outcome
        return by_code(event)

    return read if tellers else by_code


def _email(name: str, provider: Provider) -> Reader:
    own, named = _own(name, provider), _own("user.name", provider)
    return lambda event: own(event) or email_of(named(event))


def _domain(name: str, provider: Provider) -> Reader:
    own, email = _own(name, provider), _email("user.email", provider)
    return lambda event: own(event) or domain_of(email_of(email(event)))


def _nothing(_event: Event) -> object:
    return None


_OF_PLACES: Mapping[str, Callable[[Place], object]] = {
    "source.as.number": lambda place: place.asn or None,
    "source.as.organization.name": lambda place: place.as_name or None,
    "source.geo.city_name": lambda place: place.city or None,
    "source.geo.country_iso_code": lambda place: place.country or None,
    "source.geo.location.lat": lambda place: place.latitude,
    "source.geo.location.lon": lambda place: place.longitude,
}
_Make = Callable[[str, Provider], Reader]
_OF_ANY: Mapping[str, _Make] = {
    "@timestamp": lambda _name, _provider: lambda event: iso(event.time_ms),
    "event.id": lambda _name, _provider: lambda event: event.id or None,
    "user.domain": _domain,
    "user.email": _email,
}
_OF_VENDORS: Mapping[str, _Make] = {
    "event.code": lambda _name, _provider: lambda event: event.code or None,
    "event.outcome": _outcome,
    **{name: _from_code for name in FROM_CODE if name != "event.outcome"},
    "event.kind": lambda _name, _provider: lambda _event: "event",
    "event.module": lambda _name, provider: lambda _event: provider.name,
    "event.provider": lambda _name, provider: lambda _event: provider.name,
    "observer.product": lambda _name, provider: lambda _event: provider.name,
    "observer.vendor": lambda _name, provider: lambda _event: provider.vendor,
}
