"""``python -m p2pcache``."""

import sys


def main() -> None:
    """Run the command line; where its packages are missing, ``doctor`` names them, and another command the first."""
    if sys.version_info < (3, 11):  # noqa: UP036 - `python3 -m p2pcache` may find any
        sys.exit("p2pcache needs Python 3.11 or newer; this is " + sys.version.split()[0])
    try:
        from p2pcache.cli import main as command_line

        command_line(prog_name="p2pcache")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "p2pcache":
            raise
        if sys.argv[1:2] != ["doctor"]:
            sys.exit(f"p2pcache: the package {error.name} is missing; see: python3 -m p2pcache doctor")
        from p2pcache.doctor.bare import main as doctor

        sys.exit(doctor(sys.argv[2:]))


if __name__ == "__main__":
    main()
