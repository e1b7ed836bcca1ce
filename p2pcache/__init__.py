"""GitHub API answers, shared peer to peer between the jobs of a workflow."""

__version__ = "0.1.0"
