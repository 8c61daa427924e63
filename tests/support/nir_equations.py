# SPDX-License-Identifier: Apache-2.0
"""NIR's equations in float64, node by node, with forward Euler: nothing is folded, and nothing of ours is used."""

import numpy as np


def run_nodes(nodes, inputs, *, dt=1e-4, reset="hard", fire=">"):
    """Spikes [T, B, ...] of each node of neurons, for inputs [T, B, ...]; states start at v_reset.

    Nodes are (name, node, names of those before it), each behind those, the input first; what comes in is added up.
    """
    given, spikes = {nodes[0][0]: np.asarray(inputs, dtype=np.float64)}, []
    for name, node, before in nodes[1:]:
        kind, values = type(node).__name__, sum(given[each] for each in before)
        if kind in ("LIF", "IF", "Threshold"):
            given[name] = _neurons(kind, node, values, dt, reset, fire)
            spikes.append(given[name])
        else:
            given[name] = np.stack([np.stack([_linear(kind, node, one) for one in step]) for step in values])
    return spikes


def _neurons(kind, node, values, dt, reset, fire):
    spikes = []
    start = 0 if kind == "Threshold" else np.asarray(node.v_reset, dtype=np.float64)
    v = np.zeros(values.shape[1:]) + start
    late = np.zeros(values.shape[1:])
    for x in values:
        if kind == "Threshold":
            v, threshold = x, np.asarray(node.threshold)
        elif kind == "IF":
            v, threshold = v + dt * node.r * x, node.v_threshold
        else:
            v = v + dt / np.asarray(node.tau, dtype=np.float64) * (node.v_leak - v + node.r * x)
            threshold = node.v_threshold
        v = v - late
        fired = v > threshold if fire == ">" else v >= threshold
        spikes.append(fired.astype(np.float64))
        taken = np.where(fired, threshold - start, 0.0)
        if reset == "hard":
            v = np.where(fired, start, v)
        elif reset == "subtract":
            v = v - taken
        else:
            late = taken
    return np.stack(spikes)


def _linear(kind, node, x):
    if kind in ("Affine", "Linear"):
        return np.asarray(node.weight, dtype=np.float64) @ x + (node.bias if kind == "Affine" else 0)
    if kind == "Scale":
        return node.scale * x
    if kind == "Flatten":
        return x.reshape(-1)
    if kind in ("AvgPool2d", "SumPool2d"):
        side = int(np.ravel(node.kernel_size)[0])
        height, width = (size // side for size in x.shape[1:])
        out = np.zeros((len(x), height, width))
        for y in range(height):
            for z in range(width):
                field = x[:, y * side : (y + 1) * side, z * side : (z + 1) * side]
                out[:, y, z] = field.mean(axis=(1, 2)) if kind == "AvgPool2d" else field.sum(axis=(1, 2))
        return out
    if kind == "Conv2d":
        pad, stride = (int(np.ravel(value)[0]) for value in (node.padding, node.stride))
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        each = len(node.weight) // node.groups
        side = node.weight.shape[2]
        height, width = ((size - side) // stride + 1 for size in padded.shape[1:])
        out = np.zeros((len(node.weight), height, width))
        for k, kernel in enumerate(node.weight):
            first = k // each * kernel.shape[0]
            for y in range(height):
                for z in range(width):
                    window = padded[
                        first : first + len(kernel), y * stride : y * stride + side, z * stride : z * stride + side
                    ]
                    out[k, y, z] = (window * kernel).sum() + node.bias[k]
        return out
    raise AssertionError(kind)
