"""Several people in one picture: whose each face is, and each worked on by its own person's profile."""
