"""GitHub's API under its own name on this machine: who may be answered there, TLS for them, a tunnel for all others.

It is off by default (`intercept: true`), Linux only, and touches no other host (docs/interception.md).
"""
