"""What the project states about itself, a module for each figure: `python -m tools.figures` prints them."""
