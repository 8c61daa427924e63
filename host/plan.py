# SPDX-License-Identifier: Apache-2.0
"""A network placed on a chip: what to write into its tables and memories, and where results are."""

import numpy as np

from .layout import HOST, core_use
from .protocol import CHUNK_HIGH, CHUNK_LOW, DESCRIPTOR, MAX_PAYLOAD, NEED, PEER, TAPE_STRIDE, Kind, Packet, Region
from .scalars import layer_scalars

__all__ = ["Plan", "write_packets"]


def write_packets(x, y, region, address, words):
    """``WRITE`` packets of consecutive words from ``address``."""
    step = MAX_PAYLOAD - 1
    return [
        Packet(Kind.WRITE, {"region": region}, (address + k, *map(int, words[k : k + step])), x, y)
        for k in range(0, len(words), step)
    ]


class Plan:
    """What ``compile_network`` returns.

    Attributes
    ----------
    network, training, config, loss: as given
    layers: per layer, its ``Slice`` objects in order of their outputs
    slices: all of them, in order of core and index
    cores: coordinates (x, y) of the cores in use, sorted
    """

    def __init__(self, network, training, config, layers, loss):
        self.network, self.training, self.config, self.layers, self.loss = network, training, config, layers, loss
        self.slices = sorted((part for own in layers for part in own), key=lambda part: (part.core, part.index))
        self.cores = sorted({part.core for part in self.slices})

    def descriptor(self, part):
        """Fields of ``protocol.DESCRIPTOR`` of a slice."""
        neuron = self.network.layers[part.layer].neuron
        names = ("tape_base", "blocks", "last_lanes", "block_base", "delta_base", "delta_words", "weight_base")
        return {
            **{name: getattr(part, name) for name in names},
            "tape_words": len(part.words),
            "weight_words": part.weight_words,
            "steps": self.network.steps,
            "soft": neuron.soft,
            "errors": part.layer > 0,
            "loss": self._rate_loss(part),
            **layer_scalars(neuron, self.training, self.config.format),
            "targets_base": part.targets_base, "targets": len(part.targets),
            "sources_base": part.sources_base, "sources": len(part.sources),
        }  # fmt: skip

    def _rate_loss(self, part):
        return self.loss == "rate" and part.layer == len(self.layers) - 1

    def need(self, part):
        """Fields of ``protocol.NEED`` of a slice."""
        last = part.layer == len(self.layers) - 1
        consumers = 0 if last else len(self.layers[part.layer + 1])
        return {
            "inputs": part.external_words * self.network.steps,
            "credits": consumers,
            "markers": consumers + (last and self.loss == "external"),
            "label": self._rate_loss(part),
        }

    def chunks(self, part):
        """Per tape word of a slice: fields of ``CHUNK_LOW`` and of ``CHUNK_HIGH``."""
        for word in part.words:
            x, y = (0, 0) if word.origin in (HOST, None) else word.origin.core
            yield {"row_base": word.row_base, "count": word.count}, {"x": x, "y": y, "neuron": word.neuron}

    def peers(self, part):
        """Entries of the peer table of a slice, targets first: fields of ``PEER``.

        A target's ``word`` is the receiving core's own tape word. The last layer's target is the host, with slice 0
        and the words of all outputs of the layer counted in one sequence. A source that is the host has the slice's
        own index, so that its ``CREDIT`` says which slice gave it.
        """
        host = {"x": 0, "y": 0, "host": 1}
        for peer, word in part.targets:
            if peer is HOST:
                yield {**host, "slice": 0, "word": word}
            else:
                yield {"x": peer.x, "y": peer.y, "host": 0, "slice": peer.index, "word": word}
        for peer in part.sources:
            if peer is HOST:
                yield {**host, "slice": part.index, "word": 0}
            else:
                yield {"x": peer.x, "y": peer.y, "host": 0, "slice": peer.index, "word": 0}

    def table_packets(self):
        """``WRITE`` packets of all tables and of the constant bias inputs."""
        packets = []
        for part in self.slices:
            regions = [
                (Region.DESCRIPTOR, part.index * 16, DESCRIPTOR.words(**self.descriptor(part))),
                (Region.NEED, part.index, NEED.words(**self.need(part))),
                (Region.CHUNK_LOW, part.tape_base, [CHUNK_LOW.pack(**low) for low, _ in self.chunks(part)]),
                (Region.CHUNK_HIGH, part.tape_base, [CHUNK_HIGH.pack(**high) for _, high in self.chunks(part)]),
                (Region.PEER, part.targets_base, [PEER.pack(**peer) for peer in self.peers(part)]),
            ]
            if self.network.layers[part.layer].bias:
                bias = part.tape_base + len(part.words) - 1
                for slot in range(self.config.slots):
                    regions.append((Region.TAPE, slot * TAPE_STRIDE + bias, [1]))
            for region, address, words in regions:
                packets += write_packets(part.x, part.y, region, address, words)
        return packets

    def restart_packets(self):
        """``WRITE`` packets after which every slice waits for its first sample."""
        return [packet for part in self.slices
                for packet in write_packets(part.x, part.y, Region.NEED, part.index, [NEED.pack(**self.need(part))])]

    def weight_packets(self, weights):
        """``WRITE`` packets of the weights, one float array per layer as ``Dense.shape``; padding lanes get 0."""
        patterns = self.encode_weights(weights)
        packets = []
        for part in self.slices:
            image = np.zeros((part.rows, part.blocks * part.lanes), dtype=np.uint32)
            image[:, : part.outputs] = patterns[part.layer][:, part.first : part.first + part.outputs]
            address = part.weight_base * part.lanes
            packets += write_packets(part.x, part.y, Region.WEIGHT, address, image.ravel())
        return packets

    def load_packets(self, weights):
        """All ``WRITE`` packets of a network with these weights. Gradients are not cleared by them."""
        patterns = self.weight_packets(weights)
        return self.table_packets() + patterns

    def encode_weights(self, weights):
        """Bit patterns of float weights; ``ValueError`` names the layer and the index of what the format refuses."""
        if len(weights) != len(self.layers):
            raise ValueError(f"weights must have one array per layer, {len(self.layers)}, not {len(weights)}")
        patterns = []
        for number, (given, dense) in enumerate(zip(weights, self.network.layers, strict=True)):
            values = np.asarray(given, dtype=np.float64)
            if values.shape != dense.shape:
                raise ValueError(f"weights of layer {number} must have shape {dense.shape}, not {values.shape}")
            fmt = self.config.format
            bad = ~np.isfinite(values)
            bad |= fmt.round(np.where(bad, 0, values)) != values
            if bad.any():
                index = tuple(int(k) for k in np.argwhere(bad)[0])
                value = float(values[index])
                raise ValueError(f"weights of layer {number} must be finite numbers of {fmt}, not {value!r} at {index}")
            patterns.append(fmt.encode(values))
        return patterns

    def weight_reads(self, region=Region.WEIGHT):
        """``READ`` packets that fetch all of a region of weights, gradients or velocities, by core."""
        step = MAX_PAYLOAD - 1
        reads = {core: [] for core in self.cores}
        for part in self.slices:
            base, end = part.weight_base * part.lanes, (part.weight_base + part.weight_words) * part.lanes
            for address in range(base, end, step):
                tag = {"region": region, "count": min(step, end - address)}
                reads[part.core].append(Packet(Kind.READ, tag, (address,), part.x, part.y))
        return reads

    def decode_weights(self, memory):
        """Per layer, float64 values from ``memory[(x, y)][address]``, the words of region ``WEIGHT`` or the like."""
        result = [np.empty(dense.shape) for dense in self.network.layers]
        for part in self.slices:
            base, width = part.weight_base * part.lanes, part.blocks * part.lanes
            words = memory[part.core]
            image = np.array([words[base + k] for k in range(part.rows * width)], dtype=np.int64).reshape(-1, width)
            values = self.config.format.decode(image[:, : part.outputs])
            result[part.layer][:, part.first : part.first + part.outputs] = values
        return result

    @property
    def hops(self):
        """Mean distance between producing and consuming slices, in links; the host is not counted."""
        pairs = [abs(p.x - t.x) + abs(p.y - t.y) for p in self.slices for t, _ in p.targets if t is not HOST]
        return sum(pairs) / len(pairs) if pairs else 0.0

    def to_dict(self):
        """Cores, slices, hops and memory use as plain values, for JSON."""
        use = core_use(self.config, self.layers)
        rows = [
            {"core": list(s.core), "index": s.index, "layer": s.layer, "first": s.first, "outputs": s.outputs}
            for s in self.slices
        ]
        return {
            "network": str(self.network), "steps": self.network.steps, "loss": self.loss, "hops": self.hops,
            "slices": rows, "cores": [{"core": list(core), **numbers} for core, numbers in use.items()],
        }  # fmt: skip

    def summary(self):
        """Plain text: one line per core with its slices and the share of each memory in use."""
        use = core_use(self.config, self.layers)
        lines = [f"{self.network}, T = {self.network.steps}: {len(self.slices)} slices on {len(self.cores)} cores, "
                 f"{self.hops:.1f} hops"]  # fmt: skip
        lines.append(f"{'core':>6} {'weights':>15} {'neurons':>11} {'words':>9} {'peers':>9}  layer:outputs")
        for core, n in use.items():
            parts = ", ".join(
                f"{s.layer}:{s.first}-{s.first + s.outputs - 1}" for s in self.slices if s.core == core
            )
            shares = [f"{n[k]}/{getattr(self.config, k)}" for k in ("weights", "neurons", "tape_words", "peers")]
            columns = f"{shares[0]:>15} {shares[1]:>11} {shares[2]:>9} {shares[3]:>9}"
            lines.append(f"{core[0]},{core[1]:<4} {columns}  {parts}")
        return "\n".join(lines)
