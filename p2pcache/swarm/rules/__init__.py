"""What a member may do and is believed: no I/O, no clock of its own, no trio."""
