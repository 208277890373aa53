"""One module for each command: options, one call of the core, and how the answer is shown."""
