"""What the personal prior is compared with: the paper's rivals and today's, on the same prior and photos."""
