"""Where entries can be kept besides memory: each backend declares itself in a module of its own, which is found here.

A module has one name that counts, ``BACKEND``. It is read for ``--help``, so it imports the standard library and this
package alone; what does the work is named by its place and loaded when a node opens it.
"""

from __future__ import annotations

import enum
import functools
import importlib
import pkgutil
from typing import Any, NamedTuple

from p2pcache.options import Setting


class Reach(enum.IntEnum):
    """Whose entries a backend has, beyond those of this node's memory."""

    HOST = 1
    """This host's; nobody else tells of what changes there."""
    FLEET = 2
    """The members' of the swarm, which tell each other what is kept and what is dropped."""
    ANYWHERE = 3
    """Those of any fleet that has the secret, at any time."""


class Backend(NamedTuple):
    """A backend, as everything that lists or opens backends reads it.

    Attributes:
        name: as ``--backends`` takes it.
        detail: what `Cache-Status` and the statistics call a hit there.
        title: the same in words, for ``p2pcache get --explain``.
        implementation: ``module:name`` of a callable that takes a `cache.tiers.Opening` and returns the tier, or None.
        reach: whose entries it has.
        look_up: seconds that a look-up usually takes. Those that take next to nothing are asked side by side; another
            one when these have nothing fresh, or take longer than usual.
        droppable: what a write changed can be forgotten there. Where it cannot, what is found needs a proof.
        default: used unless ``--backends`` says otherwise.
        extra: the extra of the package that it needs, if any.
        settings: its own, see `options.Setting`; a value is read by the function of `values` that the row names.
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

    def open(self, opening: Any) -> Any:
        """Load the implementation and make the tier; None where there is none to be had, as peers without a swarm."""
        return pkgutil.resolve_name(self.implementation)(opening)


@functools.cache
def known() -> tuple[Backend, ...]:
    """All backends, by what a look-up costs."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    found: list[Backend] = [module.BACKEND for module in modules]
    return tuple(sorted(found, key=lambda backend: (backend.reach, backend.look_up, backend.name)))


def named(name: str) -> Backend:
    """The backend that ``--backends`` calls so; raises KeyError where there is none."""
    return {backend.name: backend for backend in known()}[name]


def names() -> tuple[str, ...]:
    """What ``--backends`` takes."""
    return tuple(backend.name for backend in known())


def default() -> tuple[str, ...]:
    """What ``--backends`` is when it is not given."""
    return tuple(backend.name for backend in known() if backend.default)


def settings() -> tuple[Setting, ...]:
    """All settings that backends declare."""
    return tuple(setting for backend in known() for setting in backend.settings)
