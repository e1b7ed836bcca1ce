"""Count the open issues of a repository, pull requests among them, by label, with PyGithub through the cache.

``pip install -r requirements.txt``, then ``p2pcache run -- python issues_by_label.py OWNER/REPO``.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

from github import Auth, Github


def main(repository: str) -> None:
    """Print each label with the number of its open issues, the most frequent first."""
    client = Github(
        # The one line that leads to the cache; without one, to GitHub itself.
        base_url=os.environ.get("P2PCACHE_API_URL", "https://api.github.com"),
        auth=Auth.Token(os.environ["GITHUB_TOKEN"]),
        # PyGithub waits a quarter of a second between calls: not needed where most are answered here.
        seconds_between_requests=None,
        per_page=100,
    )
    with client:
        issues = client.get_repo(repository).get_issues(state="open")
        counts = Counter(label.name for issue in issues for label in issue.labels)
    for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0])):
        print(f"{count:5} {name}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: issues_by_label.py OWNER/REPO")
    main(sys.argv[1])
