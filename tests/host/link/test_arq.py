# SPDX-License-Identifier: Apache-2.0
"""Host's end of the serial link against a model of the chip's, over lines that damage bytes in any way."""

import dataclasses
import re
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backspike.host.link.arq import Link, LinkError
from backspike.spec.config import ChipConfig
from backspike.spec.formats import Format
from backspike.spec.serial_frames import (
    CHIP,
    ESCAPE,
    FLAG,
    HELLO,
    VERSION,
    Frame,
    FrameReader,
    pack_chip,
    pack_welcome,
    unpack_chip,
    unpack_welcome,
)
from tests.support.link_device import LinkDevice

CONFIG = ChipConfig(columns=3, rows=2, weights=1000)
_SPECIAL = st.sampled_from([0, 0x7E7E7E7E, 0x7D5E7D5D, 0xFFFFFFFF])
_PACKETS = st.lists(st.lists(st.integers(0, 2**32 - 1) | _SPECIAL, min_size=1, max_size=16), max_size=60)
_DAMAGE = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["drop", "flip", "repeat", "insert", "cut", "truncate", "twice"]),
        "place": st.floats(0, 1),
        "size": st.integers(1, 400),
        "byte": st.integers(1, 255),
    }
)


def damaged(data, how):  # noqa: PLR0911 - one for each kind
    """Bytes as a line may deliver them."""
    if not data or how is None:
        return data
    place = min(int(how["place"] * len(data)), len(data) - 1)
    end = place + how["size"]
    match how["kind"]:
        case "drop":
            return data[:place] + data[place + 1 :]
        case "flip":
            return data[:place] + bytes([data[place] ^ how["byte"]]) + data[place + 1 :]
        case "repeat":
            return data[:place] + data[place:end] * 2 + data[end:]
        case "insert":
            return data[:place] + Random(how["byte"]).randbytes(how["size"]) + data[place:]
        case "cut":
            return data[:place] + data[end:]
        case "truncate":
            return data[:place]
        case "twice":
            return data + data


class Exchange:
    """A link and a device; each step takes a tenth of the link's timeout."""

    def __init__(self, damages=(), **options):
        self.device = LinkDevice(CONFIG)
        self.link = Link(timeout=1.0, **options)
        self.damages = list(damages)
        self.now = 0.0
        self.steps = 0

    def step(self):
        out = self.link.output(self.now)
        self.device.receive(damaged(out, self.damages.pop(0) if self.damages and out else None))
        back = self.device.output(late=self.steps % 15 == 14)
        self.link.receive(damaged(back, self.damages.pop(0) if self.damages and back else None), self.now)
        self.now += 0.1
        self.steps += 1

    def until(self, condition, steps=20_000):
        end = self.steps + steps
        while not condition():
            assert self.steps < end, "nothing came to an end"
            self.step()
        return self


@settings(deadline=None, max_examples=300)
@given(_PACKETS, st.lists(st.none() | _DAMAGE, max_size=40), st.sampled_from([1, 7, 64, 256, 1024]))
def test_whatever_the_line_does(packets, damages, frame):
    """Any damages, in any order: what arrives is what was sent, and it all arrives."""
    exchange = Exchange(damages, frame=frame)
    for packet in packets:
        exchange.link.send(packet)
    exchange.until(lambda: exchange.link.idle and len(exchange.link.packets) >= len(packets))
    assert list(exchange.link.packets) == packets
    assert exchange.device.sessions == 2
    assert exchange.link.config == CONFIG


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.0005, 0.002]))
def test_long_streams_on_bad_lines(seed, rate):
    """Positions that wrap around several times, damages all the time."""
    random = Random(seed)
    exchange = Exchange()
    packets = [[random.getrandbits(32) for _ in range(random.randint(1, 16))] for _ in range(5000)]
    line = Random(seed + 1)

    def pick():
        if line.random() > rate * 200:
            return None
        return {
            "kind": line.choice(["drop", "flip", "repeat", "cut", "truncate"]),
            "place": line.random(),
            "size": line.randint(1, 3000),
            "byte": line.randint(1, 255),
        }

    for packet in packets:
        exchange.link.send(packet)
        if random.random() < 0.1:
            exchange.damages = [pick(), pick()]
            exchange.step()
    exchange.damages = []
    exchange.until(lambda: exchange.link.idle and len(exchange.link.packets) >= len(packets))
    assert list(exchange.link.packets) == packets
    assert rate or exchange.link.resent == 0


@pytest.mark.parametrize("place", [0, 1], ids=["to the chip", "to the host"])
def test_what_is_missed_comes_again_at_once(place):
    """Whoever gets a damaged frame says so, and no timer has to run out."""
    exchange = Exchange()
    exchange.until(lambda: exchange.link.config is not None)
    exchange.damages = [None] * place + [{"kind": "flip", "place": 0.5, "size": 1, "byte": 1}]
    exchange.link.send([1, 2, 3])
    exchange.steps = 0
    exchange.until(lambda: exchange.link.packets)
    assert exchange.steps <= 3


def test_a_cut_line_is_survived():
    exchange = Exchange()
    packets = [[k, 2 * k, 3 * k] for k in range(500)]
    for packet in packets:
        exchange.link.send(packet)
    for _ in range(5):
        exchange.step()
    for _ in range(200):  # nothing gets through
        exchange.link.output(exchange.now)
        exchange.device.output(late=True)
        exchange.now += 0.1
    exchange.link.restart()
    exchange.until(lambda: exchange.link.idle and len(exchange.link.packets) >= len(packets))
    assert list(exchange.link.packets) == packets


def test_nobody_sends_more_than_fits():
    exchange = Exchange()
    exchange.until(lambda: exchange.link.config is not None)
    exchange.device.stalled = True
    for k in range(1000):
        exchange.link.send([k, k])
    for _ in range(100):
        exchange.step()
        assert len(exchange.device.waiting) <= 2048
    assert len(exchange.device.waiting) > 1900
    exchange.device.stalled = False
    exchange.until(lambda: exchange.link.idle and len(exchange.link.packets) == 1000)
    assert list(exchange.link.packets) == [[k, k] for k in range(1000)]


def test_a_restarted_chip_is_noticed_even_by_who_only_waits():
    exchange = Exchange()
    exchange.until(lambda: exchange.link.config is not None)
    exchange.device = LinkDevice(CONFIG)
    with pytest.raises(LinkError, match="restarted"):
        exchange.until(lambda: False, 100)


def test_a_session_is_new_whatever_number_the_last_had():
    exchange = Exchange(session=65534)
    exchange.link.send([1])
    exchange.until(lambda: exchange.link.packets)
    exchange.link = Link(timeout=1.0, session=65535)
    exchange.until(lambda: exchange.link.config is not None)
    assert exchange.device.session == 1
    assert exchange.device.sessions == 3
    assert not exchange.device.out


def test_another_version_is_refused():
    link = Link(session=3)
    payload = bytes([VERSION + 1]) + pack_welcome(CONFIG, 11)[1:]
    with pytest.raises(LinkError, match=re.escape(f"version of the chip's link must be {VERSION}, not {VERSION + 1}")):
        link.receive(Frame(HELLO, 3, 0, 0, payload).encode(), 0.0)


def test_an_impossible_window_is_refused():
    with pytest.raises(ValueError, match=r"^window of the chip must be at most 2048 bytes, not 4096$"):
        unpack_welcome(pack_welcome(CONFIG, 12))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout must be more than 0, not 0"),
        ({"frame": 0}, "frame must be 1 to 1024, not 0"),
        ({"session": 65536}, "session must be 1 to 65535, not 65536"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Link(**options)


@pytest.mark.parametrize("words", [[], [0] * 17])
def test_packets_have_1_to_16_words(words):
    with pytest.raises(ValueError, match=f"^packet must have 1 to 16 words, not {len(words)}$"):
        Link().send(words)


@settings(deadline=None)
@given(st.binary(max_size=300), st.lists(st.binary(max_size=300)), st.integers(0, 10))
def test_frames_are_found_after_any_garbage(garbage, payloads, cut):
    frames = [Frame(k % 16, 7 * k, k, 4095 - k, payload) for k, payload in enumerate(payloads)]
    data = b"".join(frame.encode() for frame in frames)
    reader, found = FrameReader(), []
    for start in range(0, len(garbage + b"~" + data), cut + 1):
        found += reader.read((garbage + b"~" + data)[start : start + cut + 1])
    assert [frame for frame in found if frame is not None][-len(frames) :] == frames or not frames


def test_endless_garbage_is_not_kept():
    reader = FrameReader()
    for _ in range(100):
        assert reader.read(b"x" * 1000) == []
        assert len(reader._rest) <= 5096
    assert reader.read(b"~") == [None]
    frame = Frame(0, 1, 2, 3, bytes([FLAG, ESCAPE]))
    assert reader.read(frame.encode()) == [frame]


_CONFIGS = [
    ChipConfig(),
    ChipConfig(
        columns=8,
        rows=8,
        lanes=8,
        slots=8,
        steps=16,
        slices=16,
        weights=1 << 17,
        neurons=1 << 14,
        tape_words=512,
        fan_in=256,
        routes=256,
        list_depth=1 << 12,
        batch_terms=1 << 23,
        momentum=False,
    ),
    ChipConfig(
        columns=1,
        rows=1,
        lanes=1,
        slots=2,
        steps=1,
        slices=1,
        weights=32,
        neurons=16,
        tape_words=2,
        fan_in=2,
        routes=2,
        list_depth=32,
        batch_terms=8,
        format=Format(exponent=2, mantissa=1),
    ),
    ChipConfig(dense_only=True, noise=True, weights=1000),
]


@pytest.mark.parametrize("config", _CONFIGS, ids=["default", "largest", "smallest", "dense"])
def test_a_chip_describes_itself(config):
    assert unpack_chip(pack_chip(config)) == config
    assert unpack_welcome(pack_welcome(config, 11)) == (config, 2048)


def test_every_field_of_the_configuration_is_described():
    names = {field.name for field in dataclasses.fields(ChipConfig)} - {"format"}
    assert set(CHIP.fields) == names | {field.name for field in dataclasses.fields(Format)}
    for field in dataclasses.fields(ChipConfig):
        if field.type in (int, "int") or field.name == "batch_terms":
            other = dataclasses.replace(CONFIG, **{field.name: 2 * getattr(CONFIG, field.name)})
            assert unpack_chip(pack_chip(other)) == other != CONFIG


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([1], f"a chip's description must have {CHIP.word_count} words, not 1"),
        ([0] * CHIP.word_count, "exponent must be 2 to 5, not 0"),
        ([0xFFFFFFFF] * CHIP.word_count, f"a chip's description must have {CHIP.width} bits, not 0x"),
    ],
)
def test_impossible_descriptions(words, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        unpack_chip(words)
