"""How long to wait before the next dial: longer after each failure, never the same for all."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(slots=True)
class Backoff:
    """Delays that grow from `first` by `factor` up to `ceiling`, each shortened by up to half at random.

    A fleet that lost its hub dials it again at different moments. Seconds.
    """

    first: float = 0.1
    ceiling: float = 4.0
    factor: float = 1.7
    failures: int = 0

    def failed(self) -> float:
        """Count a failure and return how long to wait."""
        # The exponent is bounded: after a day of failures the power would overflow.
        delay = min(self.ceiling, self.first * self.factor ** min(self.failures, 64))
        self.failures += 1
        return delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing

    def succeeded(self) -> None:
        """Begin again with short delays."""
        self.failures = 0
