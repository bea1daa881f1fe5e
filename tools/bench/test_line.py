"""The line is as thin, long and lossy as it is told."""

from __future__ import annotations

import struct
from dataclasses import replace

from .line import QUEUE, Direction, destination_port, mirrored

LINE = Direction(rate=8000.0, delay=0.05, loss=0.25, chance=lambda: 0.25)
"""1,000 bytes a second, and no chance that loses anything."""


def test_packets_take_their_time_one_after_the_other_and_then_the_way() -> None:
    line = replace(LINE)
    assert line.arrival(100, now=10.0) == 10.0 + 0.1 + 0.05
    assert line.arrival(100, now=10.0) == 10.0 + 0.2 + 0.05
    assert line.arrival(100, now=20.0) == 20.0 + 0.1 + 0.05


def test_a_lost_packet_took_its_time_on_the_line() -> None:
    chances = iter([0.1, 0.9])
    line = replace(LINE, chance=lambda: next(chances))
    assert line.arrival(100, now=0.0) is None
    assert line.arrival(100, now=0.0) == 0.25


def test_what_the_queue_has_no_room_for_is_lost() -> None:
    line = replace(LINE)
    sent = 0
    while line.arrival(1000, now=0.0) is not None:
        sent += 1000
    assert QUEUE < sent <= QUEUE + 2000
    assert line.arrival(1000, now=10.0) is not None


def test_a_packet_comes_back_from_where_it_went_and_its_checksums_stay_right() -> None:
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 24, 1, 0, 64, 6, 0, bytes(range(4)), bytes(range(4, 8)))
    packet = header + struct.pack("!HH", 4711, 443)
    back = mirrored(packet)
    assert (back[12:16], back[16:20]) == (packet[16:20], packet[12:16])
    assert summed(back) == summed(packet)
    assert mirrored(back) == packet
    assert destination_port(packet) == destination_port(back) == 443


def test_a_packet_without_tcp_has_no_port() -> None:
    udp = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 24, 1, 0, 64, 17, 0, bytes(4), bytes(4)) + bytes([1] * 4)
    assert destination_port(udp) == 0


def summed(packet: bytes) -> int:
    """Returns the ones' complement sum of a packet: RFC 1071."""
    total = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    return total % 0xFFFF
