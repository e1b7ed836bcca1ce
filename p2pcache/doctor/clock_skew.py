"""Check 11: this machine's clock against GitHub's, by the `Date` of an answer that costs nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime

from p2pcache import __version__
from p2pcache.cache.upstream import UpstreamError
from p2pcache.doctor.finding import CheckFinding, Patient, failed, passed, warned
from p2pcache.gateway.http_upstream import Deadlines, HttpUpstream
from p2pcache.gateway.routing import Upstreams
from p2pcache.github.request import Request

FREE = "/rate_limit"
"""Charged to nobody (docs.github.com, "REST API endpoints for rate limits"); asked without a token."""
WARN_SECONDS = 5.0
FAIL_SECONDS = 60.0
"""The lifetime of most answers: beyond it what one machine proved is stale, or of the future, on the other."""
SET_CLOCK = "set the clock of this machine (a container has its host's): timedatectl set-ntp true"


async def examine(patient: Patient) -> Sequence[CheckFinding]:
    """Return how far the clock is off."""
    upstream = patient.settings.upstream
    try:
        github = HttpUpstream(Upstreams(upstream), __version__, lambda *_: None)
        github.deadlines = Deadlines(patient.seconds, patient.seconds)
        async with github as http:
            before = time.time()
            response = await http.fetch(Request("GET", FREE, {"accept": "application/json"}), {})
            after = time.time()
            headers = dict(response.headers)
            await response.close()
    except UpstreamError as error:
        return [
            warned(
                f"not compared, since {upstream} gives no answer: {error}",
                "let this machine reach it, or HTTPS_PROXY name its proxy",
            )
        ]
    return [judged(headers, before, after, upstream)]


def judged(headers: Mapping[str, str], before: float, after: float, upstream: str) -> CheckFinding:
    """Return the finding for an answer with these headers that came between two times of this clock."""
    try:
        theirs = parsedate_to_datetime(headers["date"]).timestamp()
        theirs += int(headers.get("age", "0"))  # of a cache on the way, RFC 9111 section 5.1
    except (KeyError, ValueError):
        return warned(f"not compared: the answer of {upstream} has no usable Date", "ask who runs that server")
    # `Date` has whole seconds: the time it was made lies in the second that it begins.
    behind, ahead = theirs - after, before - theirs - 1
    off = max(behind, ahead, 0.0)
    if off <= WARN_SECONDS:
        return passed(f"the clock agrees with {upstream} within {max(1.0, off + after - before):.0f} s")
    found = f"the clock is {off:.0f} s {'behind' if behind > ahead else 'ahead of'} {upstream}'s"
    consequence = "fresh answers of other machines count as old, or as of the future"
    if off <= FAIL_SECONDS:
        return warned(f"{found}: {consequence}", SET_CLOCK)
    return failed(f"{found}: {consequence}, and signed requests (S3, OIDC) may be refused", SET_CLOCK)
