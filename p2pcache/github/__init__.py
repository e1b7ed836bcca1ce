"""What GitHub is: routes, lifetimes, validators, limits. Pure: no socket, no clock, no environment."""
