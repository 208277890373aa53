"""The one tree of errors; `cli.py` turns each into its exit code."""

from __future__ import annotations

from typing import Any, ClassVar, get_args


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


class DeviceError(MystyleError):
    """A device that was asked for cannot be had."""


def check_choice(what: str, value: str, choices: Any) -> None:
    """Refuse a word that is none of a `Literal`'s, which would otherwise count as whatever comes last.

    Args:
        what: the setting's name.
        value: what was given.
        choices: the `Literal`.

    Raises:
        UsageError: it is none.
    """
    if value not in get_args(choices):
        raise UsageError(f"{what} is {value!r}", f"Give one of: {', '.join(get_args(choices))}.")


def reason_of(error: BaseException) -> str:
    """Return what an error of a library says, in one line that a terminal can show."""
    return one_line(error) or type(error).__name__


def one_line(text: object) -> str:
    """Return a text, which may come from any file, in one line that a terminal can show and nothing else."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(str(text).split()))
