"""The dispatch of a request to its handler."""

from __future__ import annotations

import re

from p2pcache.testing import reads, repository_git_reads, repository_reads, repository_writes
from p2pcache.testing.routing import NOT_FOUND, READS, Answer, Ask, Problem, Routes
from p2pcache.testing.shapes import API
from p2pcache.testing.world import Repository

_REPOSITORY = re.compile(r"/(?:repos/([^/]+/[^/]+)|repositories/(\d+))(/.*)?")
_REPOSITORY_READS = Routes(repository_reads.routes, repository_git_reads.routes)


def dispatch(ask: Ask, query: str) -> Answer:
    """Return the answer to a REST request; `query` is the raw query, which a redirect repeats.

    Raises:
        Problem: any answer that is not success.
    """
    method = "GET" if ask.method in READS else ask.method
    found = _REPOSITORY.fullmatch(ask.path)
    if found is None:
        handler, arguments = reads.routes.find(method, ask.path)
        return handler(ask, **arguments)
    name, number, tail = found[1], found[2], found[3] or ""
    of = ask.world.named(name) if name else ask.world.repositories.get(int(number))
    if of is None or not ask.viewer.may_read(of):
        raise Problem(*NOT_FOUND)
    if name and name.lower() != of.full_name.lower():
        return _moved(method, f"{API}/repositories/{of.id}{tail}{'?' if query else ''}{query}")
    if method == "GET":
        handler, arguments = _REPOSITORY_READS.find(method, tail)
        return handler(ask, of, **arguments)
    handler, arguments = repository_writes.routes.find(method, tail)
    _check_may_write(ask, of)
    answer = handler(ask, of, **arguments)
    of.touched = ask.world.now()
    return answer


def _moved(method: str, location: str) -> Answer:
    body = {
        "message": "Moved Permanently",
        "url": location,
        "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
    }
    return Answer(body, 301 if method == "GET" else 307, {"location": location})


def _check_may_write(ask: Ask, of: Repository) -> None:
    if ask.viewer.token is None:
        raise Problem(401, "Requires authentication")
    if not ask.viewer.may_write(of):
        raise Problem(403, "Resource not accessible by integration")
