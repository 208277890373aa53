"""The person's own space: the dilated hull of their anchors, as pure functions (sec. 3.2, B.1, B.4)."""
