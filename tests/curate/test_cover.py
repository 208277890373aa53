"""What the prior's net says of hidden parts, and what curation makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mystyle_cli.curate.checks import fault
from mystyle_cli.curate.cover import explain, hidden_parts, too_hidden
from mystyle_cli.curate.records import Reason
from mystyle_cli.curate.settings import CurateSettings
from mystyle_cli.prior.registry import FACE_PARTS, open_prior
from tests.support.curation import GOOD, SIZE, judge
from tests.support.portraits import DEMONSTRATION

# x and y of a spot on each part, in crop sides
SPOTS = {
    "left eye": (0.3, 0.3),
    "right eye": (0.7, 0.3),
    "nose": (0.5, 0.5),
    "mouth": (0.5, 0.75),
    "left cheek": (0.25, 0.6),
    "right cheek": (0.75, 0.6),
}


def darkness(images: np.ndarray) -> np.ndarray:
    """Stand for the net: a part is hidden where its spot is black; it never errs, also on mirror images."""
    size = images.shape[-1]
    spots = [SPOTS[part] for part in FACE_PARTS]
    values = [images[:, :, round(y * size), round(x * size)].mean(1) for x, y in spots]
    return np.stack([(1 - value) / 2 for value in values], 1).astype(np.float32)


@pytest.mark.parametrize("part", FACE_PARTS)
def test_a_hidden_part_is_told_on_its_own_side(part: str) -> None:
    """What lies over one part raises that part's score alone, though the mirror image is asked too."""
    crop = np.full((SIZE, SIZE, 3), 255, np.uint8)
    x, y = (round(place * SIZE) for place in SPOTS[part])
    crop[y - 5 : y + 6, x - 5 : x + 6] = 0
    scores = hidden_parts(crop, darkness)
    assert scores[f"hidden {part}"] == pytest.approx(1, abs=0.01)
    assert too_hidden(scores, CurateSettings()) == [part]


@given(st.sets(st.sampled_from(FACE_PARTS), min_size=1))
def test_the_sentence_names_every_hidden_part(parts: set[str]) -> None:
    """Whatever is hidden is named in words, with what to do; what is free is not."""
    sentence = explain([part for part in FACE_PARTS if part in parts])
    for word in ("nose", "mouth"):
        assert (f"the {word}" in sentence) == (word in parts)
    for word in ("eye", "cheek"):
        sides = [side for side in ("left", "right") if f"{side} {word}" in parts]
        assert (f"both {word}s" in sentence) == (len(sides) == 2)
        for side in ("left", "right"):
            assert (f"the {word} on the {side}" in sentence) == (sides == [side])
    assert "choose a photo" in sentence


def test_nothing_hidden_says_nothing() -> None:
    """No part, no sentence."""
    assert explain([]) == ""


def test_the_net_decides_where_there_is_one() -> None:
    """A beard that is not the skin's colour is no fault where the net sees a free face; hidden eyes are."""
    free = {f"hidden {part}": 0.1 for part in FACE_PARTS}
    bearded = GOOD | {"cover": 0.9, "eyes": 0.2}
    assert fault(bearded, SIZE, CurateSettings()) is not None
    assert fault(bearded | free, SIZE, CurateSettings()) is None
    glasses = GOOD | free | {"hidden left eye": 0.9, "hidden right eye": 0.9}
    found = fault(glasses, SIZE, CurateSettings())
    assert found is not None
    assert found[0] is Reason.OCCLUDED
    assert "both eyes" in found[1]
    assert "dark glasses" in found[1]


@pytest.mark.parametrize(
    ("hidden", "refused"),
    [
        ({"left eye": 0.7, "left cheek": 0.8}, []),  # hair over one side
        ({"left eye": 0.95}, ["left eye"]),  # a patch, a hand
        ({"left eye": 0.5, "right eye": 0.7}, ["left eye", "right eye"]),  # tinted glasses
        ({"mouth": 0.7, "nose": 0.3}, ["mouth"]),
    ],
)
def test_one_side_may_be_hidden_more_than_the_middle(hidden: dict[str, float], refused: list[str]) -> None:
    """Hair over an eye or a turned head costs no photo; two eyes, nose or mouth hidden as much do."""
    scores = {f"hidden {part}": hidden.get(part, 0.0) for part in FACE_PARTS}
    assert too_hidden(scores, CurateSettings()) == refused


def test_curation_asks_the_net_about_every_face() -> None:
    """A photo that is kept otherwise is refused where the net calls its mouth hidden, and says so."""
    photo = DEMONSTRATION / "ada" / "IMG_2100.jpg"

    def mouth(images: np.ndarray) -> np.ndarray:
        return np.tile(np.float32([part == "mouth" for part in FACE_PARTS]), (len(images), 1))

    [plain] = judge([photo]).records
    [free] = judge([photo], cover=lambda images: 0 * mouth(images)).records
    [hidden] = judge([photo], cover=mouth).records
    assert plain.reason is free.reason is Reason.KEPT
    assert hidden.reason is Reason.OCCLUDED
    assert "the mouth" in hidden.detail
    assert hidden.scores["hidden mouth"] == 1
    assert not any(name.startswith("hidden") for name in plain.scores)


def test_a_prior_runs_its_cover_net(tiny_prior: Path, tmp_path: Path) -> None:
    """The role's file answers for images, and is checked like the others."""
    import hashlib
    import shutil

    import tomli_w
    from onnx import TensorProto, helper, save

    folder = shutil.copytree(tiny_prior, tmp_path / "prior")
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 32, 32])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 6])
    mean = helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=0)
    twice = helper.make_node("Concat", ["mean", "mean"], ["out"], axis=1)
    graph = helper.make_graph([mean, twice], "cover", [images], [out])
    opset = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=opset, ir_version=9), folder / "cover.onnx")
    prior = open_prior(folder)
    assert "cover" not in prior.roles
    digest = hashlib.sha256((folder / "cover.onnx").read_bytes()).hexdigest()
    entry = {"file": "cover.onnx", "sha256": digest, "licence": "Apache-2.0", "source": "a mean"}
    roles = prior.metadata["roles"] | {"cover": entry}
    (folder / "prior.toml").write_text(tomli_w.dumps(prior.metadata | {"roles": roles}))
    prior = open_prior(folder)
    pictures = np.random.default_rng(0).uniform(-1, 1, (5, 3, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(prior.cover(pictures), np.tile(pictures.mean((2, 3)), 2), atol=1e-6)
    assert prior.verify() == []
