"""The computation of GitHub's ETag for a 50 KB body, compared with a plain SHA-256 in the same run.

Run it alone: ``python bench/tag.py``; exit status 1 if the target is missed.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Callable

from p2pcache.github import etag

SIZE = 50 << 10
TARGET_US = 100.0
ROUNDS, TIMES = 15, 200
REQUEST = {"accept": "application/vnd.github+json", "authorization": "Bearer ghs_x"}


def measure(work: Callable[[], object]) -> float:
    """Return the microseconds per call in one round."""
    started = time.perf_counter()
    for _ in range(TIMES):
        work()
    return (time.perf_counter() - started) / TIMES * 1e6


def main() -> int:
    # The fastest of alternating rounds: anything slower is due to other work of the machine.
    body = random.Random(7).randbytes(SIZE)
    computed = lambda: etag.tags(REQUEST, None, "application/json", body)  # noqa: E731
    plain = lambda: hashlib.sha256(body).hexdigest()  # noqa: E731
    rounds = [(measure(computed), measure(plain)) for _ in range(ROUNDS)]
    tag, sha = (min(times) for times in zip(*rounds, strict=True))
    reached = tag < TARGET_US
    print(f"a tag for {SIZE} bytes: {tag:.1f} us; SHA-256 alone: {sha:.1f} us")
    print(f"target: a tag in less than {TARGET_US:.0f} us: {'reached' if reached else 'MISSED'}")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
