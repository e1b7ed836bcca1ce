"""The decision, the entries and the tiers that hold them."""
