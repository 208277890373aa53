"""Other people's generators and nets understood, and made into a prior of one's own."""
