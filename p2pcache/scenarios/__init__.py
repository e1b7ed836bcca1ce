"""Each way of joining, really run on this machine against a stand-in GitHub, and measured (docs/scenarios.md)."""
