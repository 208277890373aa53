"""Which face on a photo is the person's, and whether it is theirs at all."""
