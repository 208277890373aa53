"""The one tree of errors, each with its exit code; whether memory ran out; what fails one photo alone."""

from __future__ import annotations

import errno
from typing import Any, ClassVar, Final, get_args


class MystyleError(Exception):
    """Something failed that the person at the keyboard can act on.

    Args:
        message: what failed, on which file or value.
        hint: what to do next, an imperative sentence.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(MystyleError):
    """An argument's value makes no sense."""

    exit_code: ClassVar[int] = 2


class DecodeError(MystyleError):
    """A file is not a picture that can be read."""


class FaceError(MystyleError):
    """The photo does not show the face that is wanted."""

    exit_code: ClassVar[int] = 4


class NoFaceError(FaceError):
    """No face was found."""


class NotThisPersonError(FaceError):
    """Faces were found, none of them this person's."""


class ModelError(MystyleError):
    """A prior, or one of its roles, is missing, damaged or refused."""

    exit_code: ClassVar[int] = 5


class LicenceError(MystyleError):
    """The terms of a file were not accepted, or the record of what was accepted is damaged."""


class DownloadError(MystyleError):
    """A file could not be downloaded."""


class ProfileError(MystyleError):
    """A profile is missing, damaged, locked or refused."""

    exit_code: ClassVar[int] = 5


class ConsentError(ProfileError):
    """The consent that a profile rests on has ended."""


class DeviceError(MystyleError):
    """A device that was asked for cannot be had."""


class RankError(MystyleError):
    """Another process of the same run ended, or does not answer."""


def check_choice(what: str, value: str, choices: Any) -> None:
    """Refuse (UsageError) a word that is none of a `Literal`'s, which would count as whatever comes last."""
    if value not in get_args(choices):
        raise UsageError(f"{what} is {value!r}", f"Give one of: {', '.join(get_args(choices))}.")


def reason_of(error: BaseException) -> str:
    """Return what an error of a library says, in one line that a terminal can show."""
    return one_line(error) or type(error).__name__


def one_line(text: object) -> str:
    """Return a text, which may come from any file, in one line that a terminal can show and nothing else."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(text).split()))


def contained(name: str, error: Exception) -> MystyleError:
    """Return what is said of a photo on which work failed; nothing to add where that was foreseen."""
    if isinstance(error, MystyleError):
        return error
    if ran_out(error):
        return MystyleError(f"{name}: out of memory", "Use a smaller photo, or close other programs.")
    if isinstance(error, OSError):
        file = f" ({error.filename})" if error.filename and str(error.filename) != name else ""
        reason = error.strerror or reason_of(error)
        return MystyleError(f"{name}: {reason}{file}", "Check the file and the place of its result.")
    fault = MystyleError(
        f"{name}: unexpected {type(error).__name__}: {reason_of(error)}",
        "This is a fault in mystyle; --debug shows where.",
    )
    fault.__cause__ = error
    return fault


# what torch, onnxruntime and the libraries beneath say when there is no memory left, in small letters
OUT_OF_MEMORY: Final = (
    "out of memory",  # torch of CUDA, of ROCm and of a Mac; onnxruntime of CUDA
    "outofmemory",  # Metal's kIOGPUCommandBufferCallbackErrorOutOfMemory, hipErrorOutOfMemory, E_OUTOFMEMORY
    "invalid buffer size",  # torch of a Mac, for a tensor larger than Metal gives at once
    "can't allocate memory",  # torch's own allocator for the CPU
    "cannot allocate memory",  # the C library
    "failed to allocate memory",  # onnxruntime's arenas
    "not enough memory",  # torch's allocator on Windows; Windows itself, through DirectML
    "to enough memory resources",  # the same as onnxruntime garbles it
    "8007000e",  # and where Windows speaks another language
    "insufficient memory",  # Metal
    "paging file is too small",  # Windows, of its virtual memory
    "bad_alloc",  # the C++ library
    "bad allocation",  # the C++ library on Windows
    "smaller than requested bytes",  # onnxruntime's arena, with a limit
    "alloc_failed",  # CUBLAS_STATUS_, CUDNN_STATUS_, CUSOLVER_STATUS_, CUFFT_
    "allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ and _HOST_ of cuDNN 9
    "when calling `cublascreate",  # cuBLAS makes its workspace here, and says that it is not initialized
    "unable to find an engine to execute",  # cuDNN, whose every way takes more memory than there is
    "unable to find a valid cudnn algorithm",  # the same in earlier versions
)

# Windows' numbers for it: no memory for this command, for this operation, paging file too small
NO_MEMORY: Final = (8, 14, 1455)


def ran_out(error: BaseException) -> bool:
    """Tell whether an error of torch, onnxruntime, the system or Python says that memory ran out.

    An error of the program's own never does, and of the system's only its number counts: both have names of
    files in their words.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, MystyleError):
        return False
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM or getattr(error, "winerror", None) in NO_MEMORY
    text = str(error).lower()
    return any(words in text for words in OUT_OF_MEMORY)
