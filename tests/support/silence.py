"""Runs the program where the system itself ends whatever opens a socket to anywhere but this machine.

Python's hooks see Python only, so the filter is the kernel's: it kills the process at the call, whoever
makes it, native libraries and their threads among them. No rights are needed.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import sys

NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2
ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
MACHINES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""The kernel's number of the machine's kind, and of `socket` on it."""

INTERNET = (2, 10)
"""IPv4 and IPv6, the loop to this machine included; within it there are other kinds."""


def available() -> bool:
    """Tell whether this system has such filters for this machine's kind."""
    return sys.platform == "linux" and platform.machine() in MACHINES


def forbid_network() -> None:
    """End this process from now on at the first socket to the internet; there is no way back.

    Raises:
        OSError: the kernel refuses the filter.
    """
    kind, number = MACHINES[platform.machine()]
    steps = [
        (LOAD, 0, 0, 4),  # the machine's kind
        (EQUAL, 0, 5, kind),
        (LOAD, 0, 0, 0),  # which call
        (EQUAL, 0, 3, number),
        (LOAD, 0, 0, 16),  # its first argument: which kind of socket
        (EQUAL, 2, 0, INTERNET[0]),
        (EQUAL, 1, 0, INTERNET[1]),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, KILL_PROCESS),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    system = ctypes.CDLL(None, use_errno=True)
    for words in ((NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SET_SECCOMP, FILTER, program, 0, 0)):
        if system.prctl(*words):
            raise OSError(ctypes.get_errno(), "the kernel takes no filter")


if __name__ == "__main__":
    forbid_network()
    from mystyle_cli.cli import main

    main()
