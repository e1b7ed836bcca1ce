"""What a long-lived hub serves beside the cache: agents, webhooks, people who look at it."""
