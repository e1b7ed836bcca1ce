"""The decision, entries, tiers and leases."""
