"""Where the processes that this one has started listen, as Linux tells it."""

from __future__ import annotations

import os
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

LISTENS = "0A"


def listening() -> set[str]:
    """Return the addresses at which this process, or one below it, takes connections."""
    wanted = {link for process in _below(os.getpid()) for link in _links(process)}
    found = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENS and f"socket:[{words[9]}]" in wanted:
                found.add(_address(words[1].partition(":")[0]))
    return found


def _address(number: str) -> str:
    """Return an address that the kernel writes in words of the machine's order."""
    words = [bytes.fromhex(number[at : at + 8])[::-1] for at in range(0, len(number), 8)]
    address = ip_address(b"".join(words))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _below(process: int) -> set[int]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _links(process: int) -> set[str]:
    links = set()
    with suppress(OSError):
        for handle in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                links.add(os.readlink(handle))
    return links
