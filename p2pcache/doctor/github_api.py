"""Check 9: the token and its scope, what is left of the quota, and whether GitHub follows the ETag rule.

The last takes one call of the quota, and a 304 that is free. All requests go to the upstream, past the cache.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

from p2pcache import __version__, values
from p2pcache.cache.upstream import UpstreamError
from p2pcache.doctor.conditional_reads import ReadReply, agrees, ask, computed_tags, read_request
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, skipped, warned
from p2pcache.gateway.http_upstream import Deadlines, HttpUpstream
from p2pcache.gateway.routing import Upstreams
from p2pcache.github import scopes
from p2pcache.github.quota import SCARCE, from_headers
from p2pcache.github.tokens import TokenKind, token_kind
from p2pcache.keys import identity_of
from p2pcache.proxies import Proxies, unusable
from p2pcache.settings import Settings
from p2pcache.values import Secret

_KINDS: Mapping[TokenKind, str] = {
    "personal": "a personal access token",
    "oauth": "a token of an OAuth app, such as gh's",
    "app_user": "a user's token of a GitHub App",
    "installation": "an installation token of a GitHub App, such as a job's own",
    "unknown": "of no kind that its first letters name",
}
_NO_TOKEN = "set GITHUB_TOKEN; where gh is logged in: export GITHUB_TOKEN=$(gh auth token)"  # noqa: S105 - a sentence


async def examine(patient: Patient) -> list[CheckFinding]:
    """Examine the token, ask for the quota, and try the rule."""
    settings = patient.settings
    token = settings.token or settings.job_token
    if token is not None and (other := _other_host(settings, patient.environ)):
        return [
            warned(
                f"the token is for {other} (GITHUB_API_URL), and is not sent to the upstream {settings.upstream}",
                "set GITHUB_TOKEN to a token of the upstream, or CACHE_UPSTREAM to the server of the token",
            )
        ]
    found = [_token(settings, token), *_proxy(settings.upstream)]
    http = HttpUpstream(Upstreams(settings.upstream), __version__, lambda *_: None)
    http.deadlines = Deadlines(connect=patient.seconds, idle=patient.seconds)
    try:
        async with http:
            quota, accepted = await _quota(http, token)
            found.append(quota)
            if accepted:
                found.append(await _rule(http, settings, token))
    except UpstreamError as error:
        found.append(
            failed(
                f"{settings.upstream}: {error}",
                "check the address, the proxy (HTTPS_PROXY) and the firewall; without GitHub a node serves what it has",
            )
        )
    return found


def _proxy(upstream: str) -> list[CheckFinding]:
    """Return how the upstream is reached, where the environment names a proxy for it."""
    scheme = urlsplit(upstream).scheme.upper()
    if unusable(upstream):
        advice = f"name an HTTP proxy in {scheme}_PROXY, e.g. http://proxy.example:3128, or take it out"
        return [warned(f"{scheme}_PROXY names no HTTP proxy, and is left out: GitHub is asked directly", advice)]
    proxy = Proxies().of(upstream).url
    return [passed(f"GitHub is reached through the proxy {proxy.host}:{proxy.port} ({scheme}_PROXY)")] if proxy else []


def _other_host(settings: Settings, environ: Mapping[str, str]) -> str:
    """Return the host that the environment's token is for, where the upstream is at another; else ""."""
    own = environ.get("P2PCACHE_API_URL", "").strip()
    text = environ.get("GITHUB_API_URL", "").strip()
    if not text or text == own:
        return ""
    try:
        named = values.upstream(text)
    except ValueError:
        return ""
    return "" if _origin(named) == _origin(settings.upstream) else urlsplit(named).netloc


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _token(settings: Settings, token: Secret | None) -> CheckFinding:
    if token is None:
        return skipped("no GITHUB_TOKEN: clients send their own; without one, a machine has 60 calls an hour")
    identity = identity_of(settings)
    headers = {"authorization": f"Bearer {token.reveal()}"}
    scope = scopes.shown(scopes.scope_of(headers, identity.job_token, identity.repository))
    kind = _KINDS[token_kind(token.reveal())]
    shared = (
        "jobs of the repository share what they read"
        if scope.startswith("actions:")
        else "callers with the same token share what they read, others after a free proof"
    )
    return passed(f"the token is {kind}; its scope is {scope}", shared)


async def _quota(http: HttpUpstream, token: Secret | None) -> tuple[CheckFinding, bool]:
    """Return the finding about the quota, which is free to ask for, and whether the token is accepted."""
    reply = await ask(http, read_request("/rate_limit", token))
    if reply.status == 401:
        found = "GitHub does not accept the token (401): it has expired, or is of another server"
        return failed(found, _NO_TOKEN), False
    bucket = from_headers(reply.headers)
    if bucket is None:
        if reply.status in (200, 404):  # an Enterprise Server without limits
            return skipped("the upstream has no rate limits"), True
        sentence = f"the upstream answers /rate_limit with status {reply.status}"
        return warned(sentence, f"see whether {http.api_url('/rate_limit')} is GitHub's API"), False
    at = time.strftime("%H:%M UTC", time.gmtime(bucket.reset))
    found = f"{bucket.remaining} of {bucket.limit} calls are left until {at}"
    if bucket.remaining == 0:
        return warned(found, f"wait until {at}: until then only what needs no call is answered"), False
    if bucket.remaining < SCARCE * bucket.limit:
        return warned(found, "share more (a hub, a store), or let lifetimes be longer: CACHE_TTL"), True
    return passed(found), True


async def _rule(http: HttpUpstream, settings: Settings, token: Secret | None) -> CheckFinding:
    """Read something small, and then again with the tag that is computed from its body."""
    if token is None:
        return skipped("the ETag rule is not tried: the 304 to a caller without a token may be charged")
    target = _small(settings, token)
    if not target:
        return skipped("the ETag rule is not tried: GITHUB_REPOSITORY names no repository to read with this token")
    request = read_request(target, token)
    first = await ask(http, request)
    if first.status != 200 or not first.tag:
        what = f"status {first.status}" if first.status != 200 else "no ETag"
        return warned(
            f"the ETag rule is not tried: {what} in answer to {target}, one call at most was charged",
            "give the token read access to it, or try another repository: p2pcache rule-check OWNER/REPO",
        )
    tags = computed_tags(request, first.body, first.headers)
    if not agrees(tags, first.tag):
        return _broken(settings, f"the ETag of {target} is not the computed one (one call was charged)")
    second = await ask(http, request, *tags)
    if second.status == 200 and second.tag and second.tag != first.tag:
        return passed(f"the ETag rule holds: the tag of {target} is the computed one; it changed meanwhile (two calls)")
    if second.status != 304:
        return _broken(settings, f"{target} has the computed ETag, and is answered with {second.status}, not 304")
    return _charge(first, second, target)


def _charge(first: ReadReply, second: ReadReply, target: str) -> CheckFinding:
    held = f"the ETag rule holds: {target} has the computed ETag, and gives a 304 for it"
    before, after = from_headers(first.headers), from_headers(second.headers)
    if before is None or after is None:
        return passed(f"{held} (one call was charged at most)")
    if (before.reset, before.remaining) == (after.reset, after.remaining):
        return passed(f"{held}, which was free (one call was charged for the read)")
    return passed(
        f"{held} (one call was charged for the read)",
        f"the quota went from {before.remaining} to {after.remaining} meanwhile: by others with this token, "
        "or by the 304; p2pcache rule-check tells them apart on an idle token",
    )


def _broken(settings: Settings, found: str) -> CheckFinding:
    advice = "see what holds: p2pcache rule-check OWNER/REPO; its table is worth an issue (docs/etag.md)"
    if Upstreams(settings.upstream).enterprise:
        return warned(f"{found}: this server has another rule, and answers are shared within one token alone", advice)
    return failed(f"{found}: nothing is proved free of charge for other tokens", advice)


def _small(settings: Settings, token: Secret) -> str:
    """Return the target of a small read that the token may make; "" where none is known."""
    if settings.repository:
        return f"/repos/{settings.repository}"
    return "" if token_kind(token.reveal()) == "installation" else "/user"
