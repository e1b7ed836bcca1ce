"""What runs in the swarm's thread, under trio."""
