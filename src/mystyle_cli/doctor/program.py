"""The program itself: the libraries that it needs, the models inside them, the devices they really use."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from mystyle_cli import __version__
from mystyle_cli.doctor.findings import Finding, note, ok, problem
from mystyle_cli.errors import MystyleError
from mystyle_cli.prior.assets import COMPANIONS, Companion
from mystyle_cli.prior.registry import sha256_of

LIBRARIES: Final = {
    "numpy": ("numpy",),
    "torch": ("torch",),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "dlib": ("dlib-bin", "dlib"),
    "lpips": ("lpips",),
    "PIL": ("pillow",),
    "safetensors": ("safetensors",),
    "requests": ("requests",),
}
"""Modules that the program cannot do without, each with the packages that may bring it."""

OPTIONAL: Final = {
    "pillow_heif": ("pillow-heif", "to read HEIC photos: pip install pillow-heif"),
    "rawpy": ("rawpy", "to read camera RAW: pip install rawpy"),
}


def look_at_libraries() -> Iterator[Finding]:
    """Yield the version of everything that takes part, after importing it."""
    yield ok("program", "mystyle", __version__)
    yield ok("program", "python", f"{platform.python_version()} on {platform.platform()}")
    for module, packages in LIBRARIES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken library may raise anything
            reason = f"cannot be imported: {type(error).__name__}: {error}"
            advice = f"{Path(sys.executable).name} -m pip install --force-reinstall {packages[0]}"
            yield problem("program", packages[0], reason, advice)
        else:
            yield ok("program", *_version(packages))
    for module, (package, advice) in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield note("program", package, "not installed", advice)
        else:
            yield ok("program", *_version((package,)))


def _version(packages: tuple[str, ...]) -> tuple[str, str]:
    """Return the package that is installed, and its version."""
    for package in packages:
        try:
            return package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return packages[0], "version not known"


def look_at_companions(companions: tuple[Companion, ...] = COMPANIONS) -> Iterator[Finding]:
    """Yield whether the models inside other packages are the ones that they should be."""
    for companion in companions:
        spec = importlib.util.find_spec(companion.package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        path = Path(folders[0], companion.file) if folders else None
        subject = f"{companion.package}: {Path(companion.file).name}"
        advice = f"{Path(sys.executable).name} -m pip install --force-reinstall {companion.package}"
        if path is None or not path.is_file():
            yield problem("program", subject, "is missing", advice)
        elif sha256_of(path) != companion.sha256:
            yield problem("program", subject, f"{path} is not the file that it should be", advice)
        else:
            yield ok("program", subject, companion.used_for)


def look_at_devices(wanted: str = "auto") -> Iterator[Finding]:
    """Yield what torch and onnxruntime really compute on, tried with a tiny net.

    Args:
        wanted: the device that was asked for.
    """
    from mystyle_cli.prior.device import choose_device

    try:
        chosen = choose_device(wanted)
        yield ok("device", "torch", f"{chosen}: {_describe(chosen)}")
    except MystyleError as error:
        yield problem("device", "torch", error.message, error.hint)
    yield from _providers()


def _describe(device: str) -> str:
    """Return a device's name and memory."""
    import torch

    if not device.startswith("cuda"):
        return f"{torch.get_num_threads()} of {os.cpu_count()} cores"
    facts = torch.cuda.get_device_properties(device)
    return f"{facts.name}, {facts.total_memory / 1e9:.0f} GB"


def _providers() -> Iterator[Finding]:
    """Yield, for every device that there is, the provider that onnxruntime runs a tiny net on."""
    import numpy as np
    import onnxruntime

    from mystyle_cli.onnx.provider import cuda_devices
    from mystyle_cli.prior.graph import OnnxGraph
    from mystyle_cli.prior.sessions import open_session

    graph = OnnxGraph()
    out = graph.node("Neg", ["images"], "out")
    images = np.ones((2, 3), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.onnx"
        graph.save(path, ("images", ("batch", 3)), (out, ("batch", 3)))
        for device in ["cpu", *(f"cuda:{index}" for index in range(cuda_devices()))]:
            subject = f"onnxruntime on {device}"
            try:
                session = open_session(path, device)
                right = bool((session.run(images) == -images).all())
            except MystyleError as error:
                yield problem("device", subject, error.message, error.hint)
                continue
            if right:
                yield ok("device", subject, f"{session.provider} runs")
            else:
                yield problem("device", subject, f"{session.provider} computes wrongly", "Use --device cpu.")
    listed = ", ".join(onnxruntime.get_available_providers())
    yield note("device", "onnxruntime", f"lists {listed}; what is listed need not run, see above")
