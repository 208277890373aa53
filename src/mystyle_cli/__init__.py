"""mystyle learns one person from their photos and repairs, enlarges and edits photos of them."""

from __future__ import annotations

__version__ = "0.1.0"
