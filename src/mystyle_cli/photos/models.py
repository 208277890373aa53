"""dlib's models: where they lie, loaded once, used by one thread at a time."""

from __future__ import annotations

import importlib.util
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

from mystyle_cli.errors import ModelError
from mystyle_cli.installing import install_command

LOCK = threading.RLock()  # dlib's objects keep scratch memory, so calls must not overlap

_PACKAGE = "face_recognition_models"


def model_path(name: str) -> Path:
    """Return the path of one of dlib's model files.

    Raises:
        ModelError: the package that carries the models, or the file, is missing.
    """
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
def landmark_predictor() -> Any:
    """Return dlib's 68-point predictor."""
    import dlib

    return dlib.shape_predictor(str(model_path("shape_predictor_68_face_landmarks.dat")))


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
