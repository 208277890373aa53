"""The paper's experiments, one function each, and what only this program asks (sec. 4, 5, app. C)."""
