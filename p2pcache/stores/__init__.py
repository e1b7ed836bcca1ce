"""Stores behind a service, which any fleet with the secret shares at any time: S3, IPFS.

A store is a `driver.Driver`, which moves named bytes; `store_tier.StoreTier` makes a tier of it.
"""
