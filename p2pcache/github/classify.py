"""The classification of a request: a cacheable read, a write that invalidates, or a bypass."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs, unquote

from p2pcache.github import graphql, media, methods, routes, validators, writes
from p2pcache.github.etag import TagKind
from p2pcache.github.headers import varying
from p2pcache.github.request import Bypass, Classified, Lifetime, Read, Request, Resource, Write

# Paths that all servers read alike: no empty or dot segments, no control characters, ASCII only, and a repository
# without percent-encoding, so that one resource has one set of topics.
_PATH = re.compile(r"/[\w!$%&'()*+,\-./:;=@~]*", re.ASCII)
_QUERY = re.compile(r'[!"$-~]*')
_ODD = re.compile(r"//|/(?:\.|%2e){1,2}(?:/|\Z)|\A/repos/[^/]*%|\A/repos/[^/]+/[^/]*%", re.IGNORECASE)

# Credentials in the query, which old servers still accept: they are part of no scope.
_CREDENTIAL = re.compile(r"(?:\A|&)(?:access_token|client_secret)=")

# POSTs that change nothing, or only create a credential for the caller. Revocation needs no credential, so anybody can
# request it: the entries of a revoked credential are dropped at its first 401.
_CHANGES_NOTHING = re.compile(
    r"/markdown(?:/raw)?"
    r"|/repos/[^/]+/[^/]+/releases/generate-notes"
    r"|/(?:orgs|users)/[^/]+/attestations/bulk-list"
    r"|/app/installations/[^/]+/access_tokens"
    r"|/applications/[^/]+/token(?:/scoped)?"
    r"|/app-manifests/[^/]+/conversions"
    r"|/credentials/revoke"
    r"|/(?:repos/[^/]+/[^/]+|orgs/[^/]+|enterprises/[^/]+)/actions/runners/(?:registration|remove)-token"
)

_RAW_PATH = re.compile(r"/([\w.-]+)/([\w.-]+)((?:/[\w!$%&'()*+,\-.:;=@~]+){2,})", re.ASCII)
_DOTS = frozenset({".", ".."})
RAW_ROUTE = "/raw/{owner}/{repo}/{ref}/{path}"

_ASSET = "/repos/{owner}/{repo}/releases/assets/{asset_id}"


def classify(request: Request) -> Classified:
    """Classify a request as Read, Write or Bypass. Pure; never raises, whatever the strings contain.

    A GET without documentation is a Bypass, since its lifetime is unknown.
    The reasons of a Bypass: method, graphql, harmless, range, precondition, otp, no-store, body, odd, credential,
    unknown, never, redirect.
    """
    path, _, query = request.target.partition("?")
    if request.method == "POST" and path == "/graphql":
        return _graphql(request)
    if request.method in methods.WRITES:
        name = _name(request.method, path)
        if request.method in {"POST", "PATCH"} and _CHANGES_NOTHING.fullmatch(path):
            return Bypass(name, "harmless")
        return Write(name, writes.drops(request.method, path))
    route = routes.match(path)
    if request.method != "GET" or route is None:
        return Bypass(_name(request.method, path), "unknown" if request.method == "GET" else "method")
    name = f"GET {route.template}"
    if reason := _refused(request, route, path, query):
        return Bypass(name, reason)
    accept = request.headers.get("accept")
    version = request.headers.get("x-github-api-version")
    form = media.form(accept)
    return Read(
        Resource(path, query, accept, version, fields=varying(request.headers)),
        _lifetime(route, query, form),
        name,
        writes.topics(path),
        listing=route.listing,
        tag=validators.kind(route.template, form),
        form=form,
        dated=validators.dated(route.template, listing=route.listing),
        per_token=route.per_token,
    )


def raw_file(request: Request) -> Read | Bypass | None:
    """Classify a request to GitHub's server of raw files, for ``/OWNER/REPO/REF/PATH``; None where that is no file's.

    Where a ref ends and its path begins is known to GitHub alone, unless it is a full SHA. The tags there follow no
    rule; the bytes are the repository's contents, and change with these.
    """
    path, _, query = request.target.partition("?")
    found = _RAW_PATH.fullmatch(path)
    if found is None or any(part in _DOTS or "/" in part or "\\" in part for part in map(unquote, path.split("/"))):
        return None
    name = f"{methods.label(request.method)} {RAW_ROUTE}"
    if request.method != "GET":
        return Bypass(name, "method")
    if query:  # a signature, as in the links of GitHub's pages
        return Bypass(name, "credential")
    if reason := _by_headers(request):
        return Bypass(name, reason)
    owner, repository, file = found.groups()
    headers = request.headers
    root = f"/repos/{owner}/{repository}"
    immutable = routes.full_sha(file.split("/")[1])
    return Read(
        Resource(f"{root}/raw{file}", accept=headers.get("accept"), fields=varying(headers)),
        Lifetime.IMMUTABLE if immutable else Lifetime.NORMAL,
        name,
        writes.topics(f"{root}/contents"),
        tag=TagKind.OPAQUE,
        form="raw",
    )


def _graphql(request: Request) -> Classified:
    match graphql.read(request.body):
        case graphql.GraphQLRead(digest, topics):
            headers = request.headers
            if reason := _personal(headers):
                return Bypass("POST /graphql", reason)
            resource = Resource(
                "/graphql",
                request.target.partition("?")[2],
                headers.get("accept"),
                headers.get("x-github-api-version"),
                digest,
                varying(headers),
            )
            # No validators, and a push that no gateway sees changes most answers: only a short lifetime is safe.
            return Read(resource, Lifetime.LIVE, "POST /graphql", topics, per_token=graphql.per_token(request.body))
        case graphql.GraphQLWrite():
            # Its answer shows what it changed: see `graphql.drops`.
            return Write("POST /graphql", (writes.ALL,))
        case _:
            return Bypass("POST /graphql", "graphql")


def _refused(request: Request, route: routes.Route, path: str, query: str) -> str | None:
    """Return the reason for which a GET of a known operation is a bypass, or None."""
    if route.lifetime is Lifetime.NEVER:
        return "never"
    if reason := _by_headers(request):
        return reason
    if not (_PATH.fullmatch(path) and _QUERY.fullmatch(query)) or _ODD.search(path):
        return "odd"
    if _CREDENTIAL.search(query):
        return "credential"
    # With octet-stream the answer is a redirect to a signed URL.
    asset = route.template == _ASSET and "octet-stream" in request.headers.get("accept", "")
    return "redirect" if asset else None


def _by_headers(request: Request) -> str | None:
    """Return the reason for a partial, conditional or personal request (RFC 9110 sections 13.1 and 14.2), or None."""
    headers = request.headers
    if "range" in headers:
        return "range"
    if "if-match" in headers or "if-unmodified-since" in headers or "if-range" in headers:
        return "precondition"
    if request.body or "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return "body"
    return _personal(headers)


def _personal(headers: Mapping[str, str]) -> str | None:
    """Return the reason for a request that must not be cached or has no key (RFC 9111 section 5.2.1.5), or None."""
    if "x-github-otp" in headers:
        return "otp"
    if "no-store" in headers.get("cache-control", "").lower():
        return "no-store"
    if "x-http-method-override" in headers:
        return "odd"
    names = headers.get("accept", ""), headers.get("x-github-api-version", ""), *map("".join, varying(headers))
    return None if all(map(str.isascii, names)) else "odd"


def _lifetime(route: routes.Route, query: str, form: str) -> Lifetime:
    # Raw bytes at a full SHA are immutable; JSON is not, as it holds a download URL that expires (docs.github.com, "Get
    # repository content").
    if form == "raw" and route.template in validators.FILES and route.template != validators.ROOT:
        ref = parse_qs(query).get("ref", [""])
        if len(ref) == 1 and routes.full_sha(ref[0]):
            return Lifetime.IMMUTABLE
    return route.lifetime


def _name(method: str, path: str) -> str:
    """Return the operation's name for statistics; unknown tails become ``/...``, so that no value shows."""
    method = methods.label(method)
    if route := routes.match(path):
        return f"{method} {route.template}"
    parent = routes.match(path.rpartition("/")[0])
    return f"{method} {parent.template}/..." if parent and parent.template != "/" else f"{method} other"
