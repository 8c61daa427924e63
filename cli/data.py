# SPDX-License-Identifier: Apache-2.0
"""``backspike data``: what was understood of data, as inputs, and which network and chip fit them."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from backspike.cli.options import add_data_options
from backspike.cli.output import check_files, write_json
from backspike.golden.network import Network
from backspike.host.data.dataset import Dataset
from backspike.host.data.encode import encode_data
from backspike.host.data.load import read
from backspike.host.data.sources.labels import check_classes
from backspike.host.data.summary import default_steps, raster_lines, summary
from backspike.host.training.fitting import fitting_chip
from backspike.spec.config import ChipConfig

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = (
    "Show what was understood of data: shapes, classes, densities, a raster of one sample, and which network and chip "
    "fit them. See docs/data.md."
)
EXTRA = "sim"  # has the package of mnist5k and that of the picture

_LISTED = 30
"""Classes that are listed."""

_TAPE_WORDS = ChipConfig.__dataclass_fields__["tape_words"].default


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("data", metavar="DATA", help="as --data of the other commands")
    add_data_options(parser)
    parser.add_argument("--steps", type=int, metavar="N", help="time steps (default those that fit the kind of data)")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="training sample of the raster (default 0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was found to a file")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the raster (png or svg)")


def run(arguments: Namespace) -> int:
    """Print what was found; returns the exit code."""
    check_files(arguments, "json", "picture")
    data = read(arguments.data, check_classes(arguments.classes) if arguments.classes else None)
    steps = default_steps(data) if arguments.steps is None else arguments.steps
    dataset = encode_data(data, steps, arguments.encoder)
    if not 0 <= arguments.sample < len(dataset.train):
        raise ValueError(f"sample must be 0 to {len(dataset.train) - 1}, not {arguments.sample}")
    found = summary(data, dataset) | {"networks": _networks(dataset)}
    print("\n".join(_lines(found)))
    print(f"training sample {arguments.sample}, {dataset.class_name(int(dataset.train.labels[arguments.sample]))}:")
    print("\n".join(raster_lines(dataset, arguments.sample)))
    if arguments.json:
        write_json(arguments.json, found)
    if arguments.picture:
        from backspike.sim.run.pictures import draw_inputs  # noqa: PLC0415 - needs the extra

        draw_inputs(
            dataset.train[arguments.sample : arguments.sample + 1].spikes[:, 0], dataset.shape, arguments.picture
        )
        print(f"picture: {arguments.picture}")
    return 0


def _networks(dataset: Dataset) -> list[dict[str, Any]]:
    """Networks for such inputs, and the smallest chip for each."""
    found = []
    for hidden in ("128", "32"):
        notation = f"{dataset.inputs}-{hidden}-{len(dataset.classes)}"
        found.append({"network": notation, **_chip(notation, dataset)})
    if len(dataset.shape) == 3 and min(dataset.shape[1:]) >= 8:
        notation = f"{dataset.notation}-c8k3s2p1-c16k3s2p1-{len(dataset.classes)}"
        found.append({"network": notation, **_chip(notation, dataset)})
    return found


def _chip(notation: str, dataset: Dataset) -> dict[str, Any]:
    network = Network.parse(notation, steps=dataset.steps)
    if dataset.bits > 1:
        return {"cores": None, "why": f"encoder {dataset.encoder} is for the golden model alone"}
    chip = fitting_chip(network)
    if isinstance(chip, str):
        return {"cores": None, "why": chip}
    return {"cores": chip.cores, "tape_words": chip.tape_words, "steps": chip.steps}


def _lines(found: dict[str, Any]) -> list[str]:
    shape, length = "x".join(map(str, found["shape"])), found["length"]
    samples, density = found["samples"], found["density"]
    kind = {"values": "values", "series": f"series of {length} steps of", "spikes": f"spikes of {length} steps of"}
    lines = [
        f"{found['name']}: {kind.get(found['kind'], found['kind'])} {shape}, {len(found['classes'])} classes, "
        f"{samples['train']:,} training and {samples['test']:,} test samples",
        f"encoder {found['encoder'] or 'none'}, T = {found['steps']}: {found['inputs']} inputs"
        + (f" of {found['input_bits']} bits" if found["input_bits"] > 1 else "")
        + f" ({'x'.join(map(str, found['input_shape']))})",
        f"inputs that are not 0: {density['train']:.2%} in training, {density['test']:.2%} in test samples; by step "
        + " ".join(f"{value:.3f}" for value in found["density_by_step"]),
    ]
    silent = found["silent_samples"]["train"]
    if silent:
        lines.append(f"warning: {silent:.1%} of the training samples have no spikes")
    names = [f"{entry['name']} {entry['train']}+{entry['test']}" for entry in found["classes"]]
    more = f", and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    lines.append("classes, training + test: " + ", ".join(names[:_LISTED]) + more)
    for network in found["networks"]:
        if network["cores"] is None:
            lines.append(f"network {network['network']}: {network['why']}")
        else:
            more = f" TAPE_WORDS={network['tape_words']}" if network["tape_words"] > _TAPE_WORDS else ""
            lines.append(f"network {network['network']}: fits a chip of CORES={network['cores']}{more}")
    return lines
