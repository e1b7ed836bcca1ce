"""Stores behind a service, which any fleet with the secret shares at any time: S3, IPFS, the Actions cache.

S3 and IPFS are a `driver.Driver` each, which moves named bytes; `store_tier.StoreTier` makes a tier of it.
"""
