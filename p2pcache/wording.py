"""Numbers in sentences."""

from __future__ import annotations


def counted(n: float, one: str, many: str = "", shown: str = "") -> str:
    """Return a number with its noun, e.g. "1 call" and "2 calls".

    Args:
        n: the number.
        one: the noun for 1.
        many: the noun for any other number; `one` with an s by default.
        shown: the number as it is to be written, as `str` writes it by default.
    """
    return f"{shown or n} {one if n == 1 else many or one + 's'}"
