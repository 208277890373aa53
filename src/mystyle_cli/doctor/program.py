"""The program itself: the libraries that it needs, the models inside them, the devices they really use."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mystyle_cli import __version__
from mystyle_cli.doctor.findings import Finding, note, ok, problem
from mystyle_cli.errors import MystyleError
from mystyle_cli.fetch.assets import COMPANIONS, Companion
from mystyle_cli.installing import install_command
from mystyle_cli.nets.processors import free_processors
from mystyle_cli.prior.registry import sha256_of

if TYPE_CHECKING:
    from mystyle_cli.nets.device import Device

# modules that the program cannot do without, each with the packages that may bring it
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

# modules that some inputs need, each with its package and what it is for
OPTIONAL: Final = {
    "pillow_heif": ("pillow-heif", "to read HEIC photos"),
    "rawpy": ("rawpy", "to read camera RAW"),
    "c2pa": ("c2pa-python", "to sign results (--mark c2pa)"),
    "ray": ("ray", "to work on several machines (--on ray)"),
    "submitit": ("submitit", "to work on a Slurm cluster (--on slurm)"),
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
            advice = install_command(packages[0], again=True)
            yield problem("program", packages[0], reason, advice)
        else:
            yield ok("program", *_version(packages))
    for module, (package, purpose) in OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield note("program", package, "not installed", f"{purpose}: {install_command(package)}")
        else:
            yield ok("program", *_version((package,)))


def _version(packages: tuple[str, ...]) -> tuple[str, str]:
    for package in packages:
        try:
            return package, metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return packages[0], "version not known"


def look_at_companions(companions: tuple[Companion, ...] = COMPANIONS) -> Iterator[Finding]:
    """Yield whether the models inside packages are the ones that they should be."""
    for companion in companions:
        spec = importlib.util.find_spec(companion.module or companion.package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        path = Path(folders[0], companion.file) if folders else None
        subject = f"{companion.package}: {Path(companion.file).name}"
        advice = install_command(companion.package, again=True)
        if path is None or not path.is_file():
            yield problem("program", subject, "is missing", advice)
        elif sha256_of(path) != companion.sha256:
            yield problem("program", subject, f"{path} is not the file that it should be", advice)
        else:
            yield ok("program", subject, companion.used_for)


def look_at_devices(wanted: str = "auto") -> Iterator[Finding]:
    """Yield what torch and onnxruntime really compute on, tried with a tiny net."""
    from mystyle_cli.nets.device import Device

    said: list[str] = []
    try:
        device = Device(wanted, said.append)
        yield ok("device", "torch", f"{device.torch}: {_describe(device)}")
        yield from (note("device", "torch", text) for text in said)
    except MystyleError as error:
        yield problem("device", "torch", error.message, error.hint)
    yield from _providers()


def _describe(device: Device) -> str:
    import torch

    if not device.has_own_memory:
        return f"{torch.get_num_threads()} threads, {free_processors()} of {os.cpu_count()} cores free"
    facts = torch.cuda.get_device_properties(device.torch)
    return f"{facts.name}, {facts.total_memory / 1e9:.0f} GB"


def _providers() -> Iterator[Finding]:
    """Yield, for every device that there is, the provider that onnxruntime runs a tiny net on."""
    import onnxruntime

    from mystyle_cli.nets.providers import PROVIDERS, cuda_devices, find_provider

    there = onnxruntime.get_available_providers()
    kinds = [kind for kind, names in PROVIDERS.items() if kind != "cuda" and set(names) & set(there)]
    cards = range(cuda_devices() or (1 if set(PROVIDERS["cuda"][1:]) & set(there) else 0))
    for kind, index in [*((kind, 0) for kind in kinds), *(("cuda", index) for index in cards)]:
        subject = f"onnxruntime on {f'cuda:{index}' if kind == 'cuda' else kind}"
        provider, reason = find_provider(kind, index)
        if provider is None:
            yield problem("device", subject, reason, "Use --device auto or cpu, or check the driver.")
        else:
            yield ok("device", subject, f"{provider.name} runs")
    yield note("device", "onnxruntime", f"lists {', '.join(there)}; what is listed need not run, see above")
