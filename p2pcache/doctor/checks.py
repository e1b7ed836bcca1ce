"""All checks by number. A check is a row here and the module that the row names."""

from __future__ import annotations

from p2pcache.doctor.finding import Check

_ROOM = "p2pcache.doctor"

READS_SETTINGS = 7
"""The check that fails where they cannot be read."""

CHECKS = (
    Check(1, "dependencies", f"{_ROOM}.dependencies:examine", bare=True),
    Check(2, "package", f"{_ROOM}.native_parts:examine", bare=True, seconds=60),
    Check(3, "node", f"{_ROOM}.own_node:examine", seconds=40),
    Check(4, "bootstrap peers", f"{_ROOM}.bootstrap_peers:examine", seconds=45),
    Check(5, "cache", f"{_ROOM}.cache_operations:examine", seconds=40),
    Check(6, "encryption", f"{_ROOM}.encryption:examine"),
    Check(READS_SETTINGS, "settings", f"{_ROOM}.settings_read:examine"),
    Check(8, "network mode", f"{_ROOM}.network_mode:examine"),
    Check(9, "GitHub", f"{_ROOM}.github_api:examine", seconds=30),
    Check(10, "backends", f"{_ROOM}.backend_details:examine", seconds=40),
    Check(11, "clock", f"{_ROOM}.clock_skew:examine"),
    Check(12, "clients", f"{_ROOM}.clients_configured:examine"),
    Check(13, "hub and OIDC", f"{_ROOM}.hub_services:examine"),
)


def chosen(numbers: str | None) -> tuple[Check, ...]:
    """Return the checks that ``--only`` names, in their own order; all where it was not given.

    Raises:
        ValueError: a part is no number of a check, or none is named; one sentence.
    """
    if numbers is None:
        return CHECKS
    known = {str(check.number): check for check in CHECKS}
    wanted = [part.strip() for part in numbers.split(",") if part.strip()]
    for part in wanted or [""]:
        if part not in known:
            raise ValueError(f"--only: read {part[:20]!r}: expected numbers of {', '.join(known)}, separated by commas")
    return tuple(check for check in CHECKS if str(check.number) in wanted)
