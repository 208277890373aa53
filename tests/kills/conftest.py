"""The long run is asked for by its mark: `pytest -m slow tests/kills`, or `make kills`."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long run out of the whole suite, which it would double."""
    if config.option.markexpr:
        return
    here = __package__.replace(".", "/")
    left = [item for item in items if here in item.nodeid and item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in left]
    config.hook.pytest_deselected(items=left)
