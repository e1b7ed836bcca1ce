"""Implementations of the commands, one file each; `cli` parses and calls."""
