"""The Action: network detection, the search for a hub, exports to later steps, and the node's supervisor."""
