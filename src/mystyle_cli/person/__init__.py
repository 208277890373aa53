"""One person as learned, read from disk: anchors, tuned generator, reference set, ID score."""
