"""Public files that priors are made of: where they are, under what terms, downloaded."""
