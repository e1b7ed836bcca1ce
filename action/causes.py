"""Error messages of pip and uv, translated: the cause of a failure, and the setting that mends it."""

from __future__ import annotations

import re

MIRROR = "set PIP_INDEX_URL (or pip's index-url, or UV_DEFAULT_INDEX) to a mirror that this runner reaches"
PROXY = "HTTPS_PROXY to its proxy"
CAUSES = (
    # The first match counts, so a special case stands above the general one.
    (
        r"No space left on device|Errno 28|os error 28|Disk quota exceeded|Errno 122|os error 122",
        "the disk is full: free some space, or let RUNNER_TOOL_CACHE name a folder that has it",
    ),
    (
        r"Read-only file system|Permission denied|Errno 13\b|Errno 30\b|os error 13\b|os error 30\b",
        "a folder cannot be written: let RUNNER_TOOL_CACHE and UV_CACHE_DIR name folders of the runner's user",
    ),
    (
        r"TLS CA certificate bundle, invalid path",
        "PIP_CERT, SSL_CERT_FILE or REQUESTS_CA_BUNDLE names a file that is not there",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|invalid peer certificate|UnknownIssuer",
        "the package index's certificate is signed by an authority that this machine does not know: install your "
        "company's CA certificate in the system's store, or set SSL_CERT_FILE to a PEM file that has it",
    ),
    (
        r"ProxyError|Proxy Authentication Required|proxy connection|tunnel error|ProxyConnect",
        "the proxy does not let it through: check HTTPS_PROXY, and NO_PROXY for an index of your own network",
    ),
    (
        r"\b40[13] (Client Error|Unauthorized|Forbidden)",
        "the package index refuses access: give it credentials in PIP_INDEX_URL or a .netrc file",
    ),
    (
        r"is not a trusted or secure host",
        "the package index is not one by https: use its https address, or name its host in PIP_TRUSTED_HOST",
    ),
    (
        r"DO NOT MATCH THE HASHES|[Hh]ash mismatch",
        "the package index gives other files than those p2pcache was tested with: a mirror has to pass on the original "
        "ones unchanged",
    ),
    (
        r"Name or service not known|name resolution|nodename nor servname|getaddrinfo failed|dns error",
        f"the package index's name cannot be resolved: {MIRROR}, or {PROXY}",
    ),
    (
        r"Connection refused|unreachable|No route to host|[Tt]imed out|[Cc]onnection reset|[Cc]onnection error|"
        r"error sending request|Connection aborted",
        f"the package index cannot be reached: {MIRROR}, or {PROXY}",
    ),
    (
        r"No matching distribution found|No solution found|not found in the package registry|was not found in",
        "the package index does not have all of p2pcache's packages (requirements.lock): let your mirror carry them",
    ),
)
SILENCE = f"the package index gave no answer within {{:g}} s: {MIRROR}, or {PROXY}"


def explain(output: str) -> str:
    """Return the cause of a failure from the installer's output, or the last line of an output that matches none."""
    for pattern, cause in CAUSES:
        if re.search(pattern, output):
            return cause
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing about why"
