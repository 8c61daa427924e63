# SPDX-License-Identifier: Apache-2.0
"""Small data sets in IDX files."""

import struct

import numpy as np

from backspike.host.data.sources.idx import FILES


def file_bytes(array):
    array = np.asarray(array, dtype=np.uint8)
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def write_folder(folder, image, labels):
    """A data set with each label once, for training and for testing."""
    folder.mkdir()
    for name in FILES:
        shape = (len(labels), *image)
        array = labels if "labels" in name else np.random.default_rng(0).integers(0, 256, shape)
        (folder / name).write_bytes(file_bytes(array))
