"""The Grafana dashboard, read as Grafana and Prometheus read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "docs/grafana.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h"}


def expressions() -> Iterator[str]:
    """Every expression, with Grafana's own variables filled in."""
    found = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    found += [annotation["expr"] for annotation in DASHBOARD["annotations"]["list"]]
    for expression in found:
        for variable, value in VARIABLES.items():
            expression = expression.replace(variable, value)
        yield expression
