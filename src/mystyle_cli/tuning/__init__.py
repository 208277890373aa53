"""From the domain prior's generator to the personal one: anchors, tuning, its optimiser (sec. 3.1)."""
