"""Versions of a profile whose files are a few words each: for what writes, moves and removes them."""

from __future__ import annotations

import hashlib

from mystyle_cli.person.manifest import Manifest, PriorMark
from mystyle_cli.store.draft import Draft
from mystyle_cli.store.store import Store

MARK = PriorMark("tiny", "", "0" * 64, 32, 16, 8)


def manifest_of(draft: Draft, **changes: str) -> Manifest:
    """Return a manifest that lists what a draft holds."""
    facts = {"created": "2026-01-01T00:00:00Z", "changed": "2026-01-01T00:00:00Z"} | changes
    return Manifest(MARK, **facts, made_by="0", consent="", stages=draft.stages(), files=draft.files())


def put(store: Store, name: str, content: dict[str, str], **changes: str) -> None:
    """Make `content` (texts by file name) the profile, as one new version."""
    with store.locked(name):
        draft = store.draft(name)
        inputs = hashlib.sha256(repr(content).encode()).hexdigest()
        assert not draft.done("curate", inputs)
        digests: dict[str, str] = {}
        for file, text in content.items():
            digests |= draft.write(file, text.encode())
        draft.finish("curate", inputs, digests, {"n": len(content)})
        draft.commit(manifest_of(draft, **changes))


OLD = {"photos.jsonl": "old", "anchors.safetensors": "a1", "faces/0001.png": "p", "faces/0002.png": "q"}


NEW = {"photos.jsonl": "new", "generator.safetensors": "g2", "faces/0002.png": "Q", "faces/0003.png": "r"}
