"""One module for each group of commands: options, one call of the core, and how the answer is shown."""
