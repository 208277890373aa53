"""The local page: a server for one person on this machine, each of whose actions is a call of the core."""
