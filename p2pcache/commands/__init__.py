"""What the commands do, a verb a file; `cli` parses and calls."""
