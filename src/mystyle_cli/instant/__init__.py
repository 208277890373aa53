"""The person's own net, which answers at once: net, examples, training, a few steps from its answer."""
