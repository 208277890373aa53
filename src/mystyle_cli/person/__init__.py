"""One person: their anchors, their space, their tuned generator and their profile (sec. 3.1, 3.2)."""
