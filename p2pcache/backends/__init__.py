"""The backends: places besides memory that can keep entries. Each declares itself in a module of its own, found here.

The module's ``BACKEND`` is the declaration. It is read for ``--help``, so the module imports the standard library and
this package alone; the implementation is given by its name and imported when a node opens the backend.
"""

from __future__ import annotations

import enum
import functools
import importlib
import logging
import pkgutil
from typing import Any, NamedTuple

from p2pcache.options import Setting

_log = logging.getLogger(__name__)


class Reach(enum.IntEnum):
    """How far a backend reaches: the nodes whose entries it has."""

    HOST = 1
    """The nodes of this host; no member announces what changes there."""
    FLEET = 2
    """The members of the swarm, which announce to each other what they keep and drop."""
    ANYWHERE = 3
    """The nodes of any fleet that has the secret, at any time."""


class Backend(NamedTuple):
    """The declaration of a backend.

    Attributes:
        name: as ``--backends`` takes it.
        detail: the name of a hit there in `Cache-Status` and the statistics.
        title: the same in words, for ``p2pcache get --explain``.
        implementation: ``module:name`` of a callable that takes a `cache.tiers.Opening` and returns the tier, or None.
        reach: the nodes whose entries it has.
        look_up: seconds that a look-up usually takes. Backends that take less than `cache.hedge.NEAR` are asked side by
            side; another one when these have nothing fresh, or take longer than usual.
        droppable: it can drop what a write changed. Where it cannot, its entries need a proof.
        default: used unless ``--backends`` names others.
        extra: the extra of the package that it needs, if any.
        settings: its own, see `options.Setting`; a value is parsed by the function of `values` that the row names.
        examination: ``module:name`` of what ``p2pcache doctor`` examines it by, a `doctor.finding.Examine`; "" where
            another check does.
        ended: where its service is no more: the sentence to log in place of opening it.
    """

    name: str
    detail: str
    title: str
    implementation: str
    reach: Reach
    look_up: float
    droppable: bool = True
    default: bool = False
    extra: str = ""
    settings: tuple[Setting, ...] = ()
    examination: str = ""
    ended: str = ""

    def open(self, opening: Any) -> Any:
        """Import the implementation and return its tier; None where it has none, as that of peers without a swarm."""
        if self.ended:
            _log.warning("%s: %s", self.name, self.ended)
            return None
        return pkgutil.resolve_name(self.implementation)(opening)


@functools.cache
def _declared() -> tuple[Backend, ...]:
    """Return all declarations, by reach and then by the cost of a look-up."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    found: list[Backend] = [module.BACKEND for module in modules]
    return tuple(sorted(found, key=lambda backend: (backend.reach, backend.look_up, backend.name)))


@functools.cache
def known() -> tuple[Backend, ...]:
    """Return all backends that can be used, by reach and then by the cost of a look-up."""
    return tuple(backend for backend in _declared() if not backend.ended)


@functools.cache
def ended() -> tuple[Backend, ...]:
    """Return the backends whose service is no more. ``--backends`` takes their names; opening one logs why."""
    return tuple(backend for backend in _declared() if backend.ended)


def named(name: str) -> Backend:
    """Return the backend that ``--backends`` takes by `name`; raise KeyError where there is none."""
    return {backend.name: backend for backend in _declared()}[name]


def names() -> tuple[str, ...]:
    """Return the names of the backends that can be used."""
    return tuple(backend.name for backend in known())


def default() -> tuple[str, ...]:
    """Return the value of ``--backends`` when it is not given."""
    return tuple(backend.name for backend in known() if backend.default)


def settings() -> tuple[Setting, ...]:
    """Return all settings that backends declare."""
    return tuple(setting for backend in _declared() for setting in backend.settings)
