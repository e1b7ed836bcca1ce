"""What two members say to each other: bytes and time in, events and bytes out; no trio."""
