"""The CI face: where a job runs, how it finds the hub, what it exports, and the process that keeps its node alive."""
