"""The HTTP face: what clients talk to, and the way on to GitHub."""
