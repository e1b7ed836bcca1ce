"""GitHub's Actions cache as a store: one chain of sealed packs for each git ref.

A pack names a base and holds what its author knows beyond it, or is a base itself, so a reader needs one look-up and
one download, whichever nodes wrote them. Every key is used once (it ends in a nonce): of two packs written at the same
time both are kept, the newer one is found, and the author of the other writes again what that one lacks. No request
waits for the service, but a cold one while the quota is short; an entry from a pack is a candidate for a proof.
"""
