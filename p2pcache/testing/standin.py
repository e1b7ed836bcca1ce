"""The stand-in GitHub and what a test or a demonstration does to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from p2pcache.github.tokens import token_kind
from p2pcache.testing import changes, populate
from p2pcache.testing.accounts import LIMITS, Token
from p2pcache.testing.control import mount
from p2pcache.testing.faults import Call, Fault
from p2pcache.testing.fixtures import TOKENS, Recordings
from p2pcache.testing.judge import Question, State, Verdict, secondary_limit
from p2pcache.testing.quota import Quota
from p2pcache.testing.server import MAX_BODY, Front
from p2pcache.testing.world import Repository, World


class StandIn:
    """A GitHub of one's own: ``async with StandIn() as github:`` serves it at `github.url`.

    It starts empty; `populate` or `repository` fill it. Bodies and Links carry ``https://api.github.com`` always.

    Args:
        seed: the same seed and the same calls give the same bytes.
        clock: Unix seconds, for quota windows and `Date`.
        concurrent: requests at once per budget, above which the secondary limit answers.
        latency: seconds that every answer takes.
        fixtures: the directory of an installed npm package ``@octokit/fixtures``, served besides.
        host, port: where to listen; port 0 is any free one.

    Raises:
        ValueError: `fixtures` has no recordings.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        concurrent: int = 100,
        latency: float = 0.0,
        fixtures: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self._state = State(World(seed), Quota(clock), concurrent)
        self._front = Front(self._state, clock, latency)
        self._host, self._port = host, port
        self._runner: web.AppRunner | None = None
        self.url = ""
        if fixtures is not None:
            self._state.recordings = Recordings.load(fixtures)
            for value in TOKENS:
                self.token(value, kind="user")

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY)
        mount(app, self)
        app.router.add_route("*", "/{path:.*}", self._front.handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._front.closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    # Content

    def populate(self) -> None:
        """A small organization: `octo/app`, `octo/lib`, `octo/tools`, and the private `octo/vault`."""
        self.repository("octo/app", issues=45, pulls=3, commits=40)
        self.repository("octo/lib", issues=12)
        self.repository("octo/tools")
        self.repository("octo/vault", private=True)

    def repository(self, full_name: str, **content: Any) -> Repository:
        """Make one; see `populate.build_repository` for how much of what may be in it.

        Raises:
            ValueError: the name is not OWNER/REPO, or is taken.
        """
        return populate.build_repository(self._state.world, full_name, **content)

    def rename(self, old: str, new: str) -> None:
        """Give a repository another name; the old one redirects."""
        self._state.world.rename(self._find(old), new)

    def edit(
        self, repo: str, *, issue: int | None = None, file: str | None = None, content: str = "", **fields: Any
    ) -> None:
        """Change fields of a repository or of one of its issues, or commit `content` as `file`.

        Raises:
            ValueError: no such repository, issue or field.
        """
        world, of = self._state.world, self._find(repo)
        if file is not None:
            files = {**of.files, file: content.encode()}
            world.commit_files(of, world.account("mona"), f"Edit {file}", files)
        elif issue is not None:
            one = of.issue(issue)
            if one is None:
                raise ValueError(f"{repo} has no issue {issue}")
            changes.edit_issue(world, of, one, fields)
        else:
            changes.edit_repository(world, of, fields)

    # Credentials

    def token(
        self,
        value: str,
        *,
        repos: Iterable[str] = (),
        kind: str | None = None,
        limit: int | None = None,
        login: str = "octocat",
        read_only: bool = False,
    ) -> Token:
        """Make a credential known.

        Args:
            value: as clients send it; ``ghs_`` makes it an installation's unless `kind` says otherwise.
            repos: what it may write, and read where private. The first names the shared budget of an installation.
            kind: ``installation``, ``user``, ``app`` or ``client``, see `accounts.Token`.
            limit: requests an hour; the kind's own by default.
            login: whom `GET /user` names.
            read_only: it may not write anything, like a fork's pull request.

        Raises:
            ValueError: no such repository or kind.
        """
        kind = kind or ("installation" if token_kind(value) == "installation" else "user")
        if kind not in LIMITS:
            raise ValueError(f"a token is one of {', '.join(LIMITS)}, not {kind!r}")
        ids = [self._find(name).id for name in repos]
        identity = f"repository:{ids[0]}" if kind == "installation" and ids else f"token:{value}"
        shared = any(one.identity == identity for one in self._state.tokens.values())
        if limit is not None or not shared:
            self._state.quota.limit(identity, LIMITS[kind] if limit is None else limit)
        self._state.tokens[value] = made = Token(value, kind, login, identity, set(ids), read_only)
        return made

    def grant(self, token: str, repo: str) -> None:
        """Let a token at a repository."""
        self._known(token).repositories.add(self._find(repo).id)

    def revoke(self, token: str, repo: str | None = None) -> None:
        """Take a repository from a token; without one, the token is refused from now on (401)."""
        if repo is None:
            self._known(token).revoked = True
        else:
            self._known(token).repositories.discard(self._find(repo).id)

    # Faults

    def fault(self, fault: Fault | None = None, **fields: Any) -> None:
        """Let the next matching request go wrong; fields as in `Fault`."""
        self._front.faults.add(fault or Fault(**fields))

    def secondary(self, match: str = "*", *, status: int = 403, retry_after: int = 60, times: int | None = 1) -> None:
        """Answer the next matching request with the secondary limit (403 or 429)."""
        answer = secondary_limit(status, retry_after).answer()
        body = answer.encoded().decode()
        self.fault(match=match, status=status, body=body, headers=answer.headers, times=times)

    def clear_faults(self) -> None:
        """Nothing goes wrong any more."""
        self._front.faults.clear()

    # Asking

    def ask(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Verdict:
        """Ask without a socket, for models and simulations: same rules and records, but no faults and no latency.

        Nothing is encoded or pretty-printed: `Verdict.body` is what `Verdict.tag` was computed over.
        """
        named = tuple((name.lower(), value) for name, value in (headers or {}).items())
        return self._front.ask(Question(method, target, "api.github.com", named, body))

    # What was asked

    @property
    def calls(self) -> list[Call]:
        """What was asked since the start or `reset_calls`, oldest first."""
        return list(self._front.calls)

    def charged(self, token: str | None = None) -> int:
        """Requests that cost quota: of one token, or of everybody."""
        return sum(call.charged for call in self._front.calls if token is None or call.token == token)

    def reset_calls(self) -> None:
        """Forget what was asked; budgets stay as they are."""
        self._front.calls.clear()

    def _find(self, full_name: str) -> Repository:
        found = self._state.world.named(full_name)
        if found is None:
            raise ValueError(f"there is no repository {full_name!r}: make it with repository()")
        return found

    def _known(self, token: str) -> Token:
        if token not in self._state.tokens:
            raise ValueError(f"there is no token {token!r}: make it with token()")
        return self._state.tokens[token]
