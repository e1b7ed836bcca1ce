"""``p2pcache get --explain``: the source of an answer, the reason, and the peers involved, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from p2pcache import backends
from p2pcache.cache.decide import Rule
from p2pcache.github.quota import charged
from p2pcache.keys import TOKEN_HINT

_FROM = {
    "memory": "this node's memory",
    **{backend.detail: backend.title for backend in backends.known()},
    "coalesced": "GitHub, asked once for several requests of this moment",
    "stale": "this node, past its lifetime",
    "revalidated": "the cache, after GitHub confirmed it",
    "quota": "this node, in GitHub's place",
    "upstream": "this node: GitHub could not be asked",
    "error": "GitHub, past a cache that failed; the node's log says more",
    "refused": "this node, which cannot use the request",
}
_SERVED: Mapping[str, str] = {
    Rule.FRESH: "within its lifetime GitHub is not asked again",
    Rule.STRETCHED: "the quota runs low, so answers live longer than usual",
    Rule.STALE_FOR_QUOTA: "the quota is nearly spent, so GitHub was not asked for a newer one",
    Rule.STALE_FOR_ERROR: "GitHub cannot answer now",
    Rule.STALE_FOR_LIMIT: "GitHub asked this token to wait",
    Rule.PROVE_OWN: "its lifetime was over, and GitHub's 304 said that it is still current",
    Rule.PROVE_OTHER: "another token or client brought it, and GitHub's 304 said that yours may read exactly this",
    Rule.PROVE_EMPTY: "GitHub's 304 said that the list is empty",
    Rule.REFUSE_QUOTA: "the quota is spent until its reset",
    Rule.REFUSE_LIMIT: "GitHub asked this token to wait",
}
_FETCHED: Mapping[str, str] = {
    Rule.PROVE_OWN: "what was here was past its lifetime, and GitHub has something newer",
    Rule.PROVE_OTHER: "another token or client brought what was here, and GitHub has something else for yours",
    Rule.FETCH_COLD: "neither this node nor a peer had it",
    Rule.FETCH_UNPROVABLE: "what was found is past its lifetime or another token's, and no 304 could confirm it",
}
_ANONYMOUS_SERVED: Mapping[str, str] = {
    **_SERVED,
    Rule.STALE_FOR_LIMIT: "GitHub asked callers without a token to wait",
    Rule.PROVE_OTHER: "it was fetched with a token, and GitHub's 304 said that exactly this is read without one too",
    Rule.REFUSE_LIMIT: "GitHub asked callers without a token to wait",
}
_ANONYMOUS_FETCHED: Mapping[str, str] = {
    **_FETCHED,
    Rule.PROVE_OTHER: "what was here was fetched with a token, and GitHub has something else for callers without one",
}
_FREE = (Rule.PROVE_OWN, Rule.PROVE_OTHER, Rule.PROVE_EMPTY)


def explanation(path: str, status: int, headers: Mapping[str, str], milliseconds: float, *, with_token: bool) -> str:
    """Return an explanation in several lines; the last is the ``Cache-Status`` field itself (RFC 9211).

    Args:
        path: of the API, without query.
        status: of the answer.
        headers: of the answer, lower-case names.
        milliseconds: the duration.
        with_token: whether the request had a token, which makes a 304 free.
    """
    cache_status = headers.get("cache-status", "")
    detail = re.search(r"detail=([a-z]+)", cache_status)
    source = _FROM.get(detail[1] if detail else "", "GitHub")
    lines = [f"{status} in {milliseconds:.1f} ms from {source}"]
    lines += _reasons(headers.get("p2pcache-rule", ""), headers, cache_status, with_token=with_token)
    lines += _cost(path, headers.get("p2pcache-rule", ""), cache_status, with_token=with_token)
    if believed := headers.get("p2pcache-etag-rule", ""):
        lines.append(f"  ETag rule: {believed}")
    lines += [f"  {clause}" for clause in headers.get("p2pcache-peers", "").split("; ") if clause]
    return "\n".join([*lines, f"  Cache-Status: {cache_status or 'none'}"])


def refusal(status: int, reason: str, target: str, *, with_token: bool) -> str:
    """Return one line for an answer with an error status."""
    line = f"{status} {reason} for {target}"
    if status in (401, 403, 404, 429) and not with_token:
        return f"{line}; it was asked for without a token, and there is no GITHUB_TOKEN; {TOKEN_HINT}"
    return line


def _reasons(rule: str, headers: Mapping[str, str], cache_status: str, *, with_token: bool) -> Iterator[str]:
    hit = "; hit" in cache_status
    served, fetched = (_SERVED, _FETCHED) if with_token else (_ANONYMOUS_SERVED, _ANONYMOUS_FETCHED)
    if why := (served if hit or "detail=quota" in cache_status else fetched).get(rule):
        yield f"  {why}"
    elif "fwd=" in cache_status and not rule:
        yield "  requests of this kind are passed on to GitHub, and their answers are not kept"
    ttl = re.search(r"ttl=(\d+)", cache_status)
    if hit and ttl and headers.get("age", "").isdigit():
        yield f"  GitHub said so {headers['age']} s ago; it is served without asking for {ttl[1]} s more"


def _cost(path: str, rule: str, cache_status: str, *, with_token: bool) -> Iterator[str]:
    forwarded = re.search(r"fwd-status=(\d+)", cache_status)
    if "; hit" in cache_status and rule in _FREE:
        free = "  this cost no quota", "  this cost one call, since a 304 is only free with a token"
        yield free[charged(304, with_token, path)]
    elif "; hit" not in cache_status and forwarded and forwarded[1] != "304":
        costs = charged(int(forwarded[1]), with_token, path)
        yield "  this cost one call of the quota" if costs else "  this cost no quota: GitHub does not count it"
