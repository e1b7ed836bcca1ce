"""The Action before it has an environment: standard library only, for the Python that post/start.sh found."""
