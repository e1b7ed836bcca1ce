"""The stand-in GitHub and its control for tests and demonstrations."""

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
    """A synthetic GitHub: ``async with StandIn() as github:`` serves it at `github.url`.

    It is empty at first; `populate` and `repository` add content. URLs in bodies and Links are always those of
    ``https://api.github.com``.

    Args:
        seed: equal seeds and equal calls give equal bytes.
        clock: returns Unix seconds, for rate-limit windows and `Date`.
        concurrent: concurrent requests per budget beyond which the secondary limit answers.
        latency: seconds before every answer.
        fixtures: the directory of an installed npm package ``@octokit/fixtures``, served too.
        host, port: the listening address; port 0 is any free one.

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
        """Add a small organization: `octo/app`, `octo/lib`, `octo/tools`, and the private `octo/vault`."""
        self.repository("octo/app", issues=45, pulls=3, commits=40)
        self.repository("octo/lib", issues=12)
        self.repository("octo/tools")
        self.repository("octo/vault", private=True)

    def repository(self, full_name: str, **content: Any) -> Repository:
        """Add a repository with `content` as in `populate.build_repository`.

        Raises:
            ValueError: the name is not OWNER/REPO, or it exists.
        """
        return populate.build_repository(self._state.world, full_name, **content)

    def rename(self, old: str, new: str) -> None:
        """Rename a repository; the old name redirects."""
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
        """Add a credential.

        Args:
            value: as clients send it.
            repos: repositories it may write and, if private, read. The first names an installation's shared budget.
            kind: ``installation``, ``user``, ``app`` or ``client``, see `accounts.Token`; by default from the prefix.
            limit: requests per hour; the kind's own by default.
            login: the user of `GET /user`.
            read_only: whether it may write nothing, like that of a fork's pull request.

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
        """Grant a repository to a token."""
        self._known(token).repositories.add(self._find(repo).id)

    def revoke(self, token: str, repo: str | None = None) -> None:
        """Revoke a token's access to a repository, or by default the token itself (401 from then on)."""
        if repo is None:
            self._known(token).revoked = True
        else:
            self._known(token).repositories.discard(self._find(repo).id)

    # Faults

    def fault(self, fault: Fault | None = None, **fields: Any) -> None:
        """Add a fault for the next matching request; fields as in `Fault`."""
        self._front.faults.add(fault or Fault(**fields))

    def secondary(self, match: str = "*", *, status: int = 403, retry_after: int = 60, times: int | None = 1) -> None:
        """Add a secondary limit (403 or 429) for the next matching request."""
        answer = secondary_limit(status, retry_after).answer()
        body = answer.encoded().decode()
        self.fault(match=match, status=status, body=body, headers=answer.headers, times=times)

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._front.faults.clear()

    # Requests

    def ask(self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Verdict:
        """Request without a socket, for models and simulations: same rules and records, no faults, no latency.

        Nothing is encoded or pretty-printed: `Verdict.tag` was computed over `Verdict.body`.
        """
        named = tuple((name.lower(), value) for name, value in (headers or {}).items())
        return self._front.ask(Question(method, target, "api.github.com", named, body))

    # Records

    @property
    def calls(self) -> list[Call]:
        """The requests since the start or `reset_calls`, oldest first."""
        return list(self._front.calls)

    def charged(self, token: str | None = None) -> int:
        """Return the number of charged requests, of one token or of all."""
        return sum(call.charged for call in self._front.calls if token is None or call.token == token)

    def reset_calls(self) -> None:
        """Clear the records; budgets stay as they are."""
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
