"""The names in a webhook's payload: the repositories and accounts that it is about, under former names too. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

_FULL_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
_LOGIN = re.compile(r"[A-Za-z0-9_.-]{1,100}(?:\[bot\])?")
_MOST_NAMED = 64
"""Repositories in one delivery that are dropped one by one; beyond that the whole account is."""
_MOVING = frozenset({"discussion", "installation_target", "issues", "organization", "repository"})
"""Events with two names, the former one below `changes`; others have other things there."""


class NamedAccount(msgspec.Struct):
    """A person or an organization."""

    login: str = ""


class NamedRepository(msgspec.Struct):
    """A repository; `id` is 0 where it is not known."""

    full_name: str = ""
    id: int = 0


class _Installation(msgspec.Struct):
    account: NamedAccount | None = None


class _Was(msgspec.Struct):
    """A former value: of a name, or of an owner."""

    value: str | _Owners | None = msgspec.field(default=None, name="from")


class _Owners(msgspec.Struct):
    user: NamedAccount | None = None
    organization: NamedAccount | None = None


class _Renamed(msgspec.Struct):
    name: _Was | None = None


class _Moves(msgspec.Struct):
    """Those of `changes` that lead from one name to another."""

    login: _Was | None = None
    owner: _Was | None = None
    repository: _Renamed | None = None
    new_repository: NamedRepository | None = None
    old_repository: NamedRepository | None = None


@dataclass(frozen=True, slots=True)
class Named:
    """The repositories and accounts that a delivery is about, lower case, and whether that is all of them."""

    repositories: tuple[NamedRepository, ...]
    accounts: tuple[str, ...]
    complete: bool


class Payload(msgspec.Struct):
    """What a payload names, of all that is in it."""

    action: str | None = None
    repository: NamedRepository | None = None
    organization: NamedAccount | None = None
    installation: _Installation | None = None
    user: NamedAccount | None = None
    account: NamedAccount | None = None
    repositories_added: list[NamedRepository] = []
    repositories_removed: list[NamedRepository] = []
    changes: msgspec.Raw = msgspec.Raw(b"{}")

    def names(self, event: str) -> Named:
        """Return what it names; under its former names too, where it was moved.

        Raises:
            msgspec.ValidationError: a name is not where GitHub has it.
        """
        moves = msgspec.json.decode(self.changes, type=_Moves) if event in _MOVING else _Moves()
        found = [self.repository, *self.repositories_added, *self.repositories_removed]
        found += [moves.new_repository, moves.old_repository, *_former(self.repository, moves)]
        repositories = [r for r in found if r is not None]
        installed = self.installation.account if self.installation else None
        accounts = [a.login for a in (self.organization, self.account, installed, self.user) if a][:1]
        if moves.login and isinstance(moves.login.value, str):
            accounts.append(moves.login.value)
        if not accounts and self.repository:
            accounts.append(self.repository.full_name.partition("/")[0])
        complete = all(_FULL_NAME.fullmatch(r.full_name) for r in repositories) and all(map(_LOGIN.fullmatch, accounts))
        if len(repositories) > _MOST_NAMED:
            repositories = []
        return Named(
            tuple(NamedRepository(r.full_name.lower(), r.id) for r in repositories),
            tuple(dict.fromkeys(account.lower() for account in accounts)),
            complete,
        )


def _former(repository: NamedRepository | None, moves: _Moves) -> Iterator[NamedRepository]:
    """Yield a repository under the name it had before."""
    if repository is None:
        return
    owner, _, name = repository.full_name.partition("/")
    renamed = moves.repository.name if moves.repository else None
    if renamed and isinstance(renamed.value, str):
        yield NamedRepository(f"{owner}/{renamed.value}", repository.id)
    if moves.owner and isinstance(moves.owner.value, _Owners):
        for account in filter(None, (moves.owner.value.user, moves.owner.value.organization)):
            yield NamedRepository(f"{account.login}/{name}", repository.id)
