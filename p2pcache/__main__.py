"""``python -m p2pcache``."""

from p2pcache.cli import main

if __name__ == "__main__":
    main(prog_name="p2pcache")
