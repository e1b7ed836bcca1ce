"""IPFS: `ipfs_driver` moves the bytes, through a daemon (`kubo`) and through trustless gateways."""
