"""What a job does: the same questions again and again, through the node that `p2pcache run` put around it.

Only the wait for the hub knows that there is a cache at all. Each line ends with what the cache did
(RFC 9211).
"""

from __future__ import annotations

import os
import time
import urllib.request

from p2pcache import get_global_cache

ROUNDS = 3
PATHS = ("", "/issues", "/labels", "/branches", "/releases")
HUB_SECONDS = 10


def cache_status(path: str) -> str:
    """Ask for an API path; what the cache says of it."""
    headers = {"Authorization": f"Bearer {os.environ['GITHUB_TOKEN']}", "Accept": "application/vnd.github+json"}
    request = urllib.request.Request(os.environ["GITHUB_API_URL"] + path, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()
        return str(answer.headers["Cache-Status"])


def wait_for_hub() -> None:
    """A job need not wait: without the hub it pays for its own calls. Here the report should show the hub at work."""
    end = time.monotonic() + HUB_SECONDS
    while not get_global_cache().stats()["peers"]["connected"]:
        if time.monotonic() > end:
            print("the hub is not there: this job works alone", flush=True)
            return
        time.sleep(0.1)


wait_for_hub()
for _ in range(ROUNDS):
    for path in PATHS:
        print(f"{path or '/':10} {cache_status('/repos/' + os.environ['GITHUB_REPOSITORY'] + path)}", flush=True)
