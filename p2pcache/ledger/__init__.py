"""What a node did, counted; the shape in which others read it; the same for Prometheus."""
