"""The rules of GitHub's API: routes, lifetimes, validators, limits. Pure: no socket, no clock, no environment."""
