"""Where work runs: on this machine in one process or several, or on more than one machine."""
