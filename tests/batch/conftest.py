"""What tests of batches share."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Seven photos, one of them a stranger's, and one file that is none; the folder is the current one."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for index, name in enumerate("abdefg"):
        Image.new("RGB", (8, 6), (index, 0, 0)).save(f"in/{name}.png")
    Image.new("RGB", (8, 6), (99, 0, 0)).save("in/stranger.png")
    Path("in/c.png").write_text("not a picture")
    return Path("in")
