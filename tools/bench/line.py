"""A thin, long and lossy line between two addresses of this machine, for real TCP: it loses packets.

It is a TUN device. What is sent to `FAR` comes back, late or not at all, as if `FAR` had sent it to `NEAR`:
both addresses of each packet change places, which no checksum notices. So a connection to `FAR` ends at a
server that listens on `NEAR`, and all of its packets have passed the line. A network namespace of its own
keeps the device from the machine's own network. Linux's own means, tc-netem(8), is a module that a kernel
may lack.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

NEAR, FAR = "10.98.76.1", "10.98.76.2"
"""The device's own address, and that of whatever is at the other end of the line."""

DEVICE = "thin"
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
"""From <linux/if_tun.h>."""

MTU = 1500
QUEUE = 256 << 10
"""Bytes that wait for a direction of the line, as in a router; what is more is lost."""

SOURCES = slice(12, 16)
DESTINATIONS = slice(16, 20)
"""The addresses in an IPv4 header: RFC 791, 3.1."""


@dataclass
class Direction:
    """One direction of a line: when a packet arrives, if it does."""

    rate: float
    """Bits a second."""
    delay: float
    """Seconds, beside the time that a packet takes at that rate."""
    loss: float
    chance: Callable[[], float]
    free: float = 0.0
    """The time from which on it carries nothing."""

    def arrival(self, size: int, now: float) -> float | None:
        """Returns the time at which a packet of so many bytes arrives. None for one that is lost."""
        begin = max(self.free, now)
        if (begin - now) * self.rate / 8 > QUEUE:
            return None
        self.free = begin + size * 8 / self.rate
        return None if self.chance() < self.loss else self.free + self.delay


@dataclass
class Line:
    """Runs between entry and exit, in a network namespace of its own.

    Each direction takes half of the delay, and loses packets.
    """

    up: float
    """Bits a second from the clients to the servers."""
    down: float
    delay: float
    """Seconds to the other end and back."""
    loss: float
    seed: int = 1
    servers: set[int] = field(default_factory=set)
    """Ports. What goes to them goes up."""
    bytes_up: int = 0
    """Bytes of packets that arrived."""

    def __enter__(self) -> Line:
        self._tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._tun, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
        for words in (
            "link set lo up",
            f"addr add {NEAR}/24 dev {DEVICE}",
            f"link set {DEVICE} mtu {MTU} up",
        ):
            subprocess.run(["ip", *words.split()], check=True)
        self._ends, self._end = os.pipe()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._end)
        self._thread.join()
        os.close(self._tun)
        os.close(self._ends)

    def _carry(self) -> None:
        chance = random.Random(self.seed).random
        up = Direction(self.up, self.delay / 2, self.loss, chance)
        down = Direction(self.down, self.delay / 2, self.loss, chance)
        under_way: list[tuple[float, int, bytes]] = []
        number = 0
        while True:
            wait = max(under_way[0][0] - time.monotonic(), 0) if under_way else None
            ready, _, _ = select.select([self._tun, self._ends], [], [], wait)
            if self._ends in ready:
                return
            if self._tun in ready:
                packet, number = os.read(self._tun, MTU), number + 1
                if packet[0] >> 4 != 4:
                    continue
                direction = up if destination_port(packet) in self.servers else down
                arrival = direction.arrival(len(packet), time.monotonic())
                if arrival is not None:
                    heapq.heappush(under_way, (arrival, number, mirrored(packet)))
            while under_way and under_way[0][0] <= time.monotonic():
                packet = heapq.heappop(under_way)[2]
                self.bytes_up += len(packet) if destination_port(packet) in self.servers else 0
                os.write(self._tun, packet)


def mirrored(packet: bytes) -> bytes:
    """Swaps the addresses of a packet. Checksums are sums, and stay right."""
    return packet[:12] + packet[DESTINATIONS] + packet[SOURCES] + packet[20:]


def destination_port(packet: bytes) -> int:
    """Returns the port of an IPv4 packet with TCP; 0 of others."""
    words = (packet[0] & 0x0F) * 4
    if packet[9] != 6 or len(packet) < words + 4:
        return 0
    return int.from_bytes(packet[words + 2 : words + 4], "big")
