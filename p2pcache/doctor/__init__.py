"""The checks of ``p2pcache doctor``, a module each; what runs and prints them needs the standard library alone."""
