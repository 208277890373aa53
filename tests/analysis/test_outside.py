"""The outside judge: which part of a face its net sees, what it makes of the answers, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from mystyle_cli.analysis.outside import PLACES, OutsideJudge, judged_quad
from mystyle_cli.errors import ModelError
from mystyle_cli.faces.align import FFHQ, warp
from mystyle_cli.faces.face import aligned_face
from mystyle_cli.photos.pixels import to_pixels, to_unit
from tests.support.tiny_store import picture


def test_a_face_is_cut_to_where_the_net_expects_it() -> None:
    """Eyes, nose and mouth of a turned, shifted face come to lie at their places in the square."""
    angle, scale, shift = 0.3, 70.0, np.array([40.0, 25.0])
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    five = PLACES @ turn + shift
    landmarks = np.zeros((68, 2))
    landmarks[36:42], landmarks[42:48] = five[0], five[1]
    landmarks[[30, 48, 54]] = five[2:]
    top_left, bottom_left, bottom_right, top_right = judged_quad(landmarks)
    np.testing.assert_allclose(top_left, shift, atol=1e-6)
    np.testing.assert_allclose(bottom_left, np.array([0, 1]) @ turn + shift, atol=1e-6)
    np.testing.assert_allclose(bottom_right, np.array([1, 1]) @ turn + shift, atol=1e-6)
    np.testing.assert_allclose(top_right, np.array([1, 0]) @ turn + shift, atol=1e-6)


def test_embeddings_are_the_nets_of_the_cut_faces(tiny_prior: Path) -> None:
    """By a linear net, worked out again; every row has length 1."""
    path = tiny_prior / "identity.onnx"
    images = to_unit(np.stack([picture(3, 48), picture(4, 48)]))
    found = OutsideJudge(path).describe(images, FFHQ)
    weight = numpy_helper.to_array(onnx.load(path).graph.initializer[0]).astype(np.float64)
    for row, face in zip(found, to_pixels(images), strict=True):
        cut = warp(face, judged_quad(aligned_face(face, FFHQ).landmarks), 32)
        wanted = to_unit(cut[None]).reshape(-1).astype(np.float64) @ weight
        np.testing.assert_allclose(row, wanted / np.linalg.norm(wanted), atol=1e-5)


def write_net(path: Path, shape: list[object], *, zero: bool = False) -> Path:
    """Write a net that flattens pictures of a shape, or answers with nothing but zeros."""
    images = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("out", onnx.TensorProto.FLOAT, ["batch", None])
    nodes = [helper.make_node("Flatten", ["images"], ["flat"], axis=1)]
    nodes.append(helper.make_node("Sub" if zero else "Add", ["flat", "flat"], ["out"]))
    graph = helper.make_graph(nodes, "net", [images], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_what_is_no_such_net_is_refused(tmp_path: Path) -> None:
    """Files of other kinds and shapes, and answers that are no embedding: by name, with the next step."""
    text = tmp_path / "net.onnx"
    text.write_text("no net")
    nets = [text, write_net(tmp_path / "wide.onnx", ["batch", 3, 32, 48])]
    nets.append(write_net(tmp_path / "grey.onnx", ["batch", 1, 32, 32]))
    for path in nets:
        with pytest.raises(ModelError, match=path.name) as refused:
            OutsideJudge(path)
        assert refused.value.hint
    judge = OutsideJudge(write_net(tmp_path / "zero.onnx", ["batch", 3, 32, 32], zero=True))
    with pytest.raises(ModelError, match=r"zero\.onnx"):
        judge.describe(to_unit(picture(3, 48)[None]), FFHQ)
