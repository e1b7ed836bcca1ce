"""``p2pcache doctor`` where packages are missing: the checks that need the standard library alone."""

from __future__ import annotations

import argparse
import asyncio
import sys

from p2pcache.doctor.checks import chosen
from p2pcache.doctor.finding import Patient
from p2pcache.doctor.run_checks import Printed, run_checks

NO_SETTINGS = "packages are missing, see check 1"
USAGE_ERROR = 2


def main(arguments: list[str]) -> int:
    """Run the checks and return the exit status; flags of a node are left for a doctor that can read settings."""
    parser = argparse.ArgumentParser(prog="p2pcache doctor", add_help=False, exit_on_error=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--only")
    try:
        given, _ = parser.parse_known_args(arguments)
        checks = chosen(given.only)
    except (argparse.ArgumentError, ValueError) as error:
        print(f"p2pcache: {error}", file=sys.stderr)
        return USAGE_ERROR
    printed = Printed(print, json_form=given.json)
    return asyncio.run(run_checks(Patient(problem=NO_SETTINGS), checks, printed, strict=given.strict))
