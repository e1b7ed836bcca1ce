"""What two members send each other: bytes and time in, events and bytes out; no trio."""
