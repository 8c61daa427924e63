# SPDX-License-Identifier: Apache-2.0
"""``backspike nir``: networks from and to files in the Neuromorphic Intermediate Representation."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from backspike.cli.options import positive

__all__ = ["DESCRIPTION", "EXTRA", "add_options", "run"]

DESCRIPTION = (
    "Turn a network in a NIR file, as snnTorch, SpikingJelly and others write it, into a file that 'backspike train "
    "--load' takes, and back. See docs/nir.md."
)
EXTRA = "nir"


def add_options(parser: ArgumentParser) -> None:
    """The command's options."""
    ways = parser.add_subparsers(dest="way", required=True, metavar="import|export")
    into = ways.add_parser("import", help="from NIR to a file of ours", allow_abbrev=False)
    _add_files(into, "the NIR file", "where the network is written, with the ending .npz (default beside FILE)")
    into.add_argument(
        "--reset",
        choices=("hard", "subtract", "subtract-delayed"),
        help="what a spike does to the potential: v_reset; less the threshold, at once; less the threshold at the next "
        "step, after the leak, as snnTorch (default what the file says, if it is ours; else hard)",
    )
    into.add_argument(
        "--fire",
        choices=(">", ">="),
        help="whether a neuron fires at its threshold too, as SpikingJelly's (default what the file says; else '>')",
    )
    into.add_argument(
        "--method",
        default="euler",
        choices=("euler", "exact"),
        help="how the equations become steps: forward Euler, as other programs (default), or their exact solution",
    )
    into.add_argument(
        "--trial",
        type=positive,
        default=16,
        metavar="N",
        help="random samples that say how many spikes the rounding changes (default %(default)s)",
    )
    into.add_argument("--steps", type=int, metavar="N", help="time steps of a sample (default 4)")
    into.add_argument("--data", metavar="NAME", help="data of the network, as of train (default digits)")
    out = ways.add_parser("export", help="from a file of ours to NIR", allow_abbrev=False)
    _add_files(out, "a file of 'backspike train --save' (npz)", "where the NIR file is written (default beside FILE)")


def _add_files(parser: ArgumentParser, given: str, written: str) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help=given)
    parser.add_argument("--save", type=Path, metavar="FILE", help=written)
    parser.add_argument("--overwrite", action="store_true", help="the file that is written may exist, and is lost")
    parser.add_argument(
        "--dt",
        type=float,
        default=1e-4,
        metavar="S",
        help="length of a step in the unit of the time constants; snnTorch and SpikingJelly have %(default)g (default)",
    )


def run(arguments: Namespace) -> int:
    """Import or export; returns the exit code."""
    return _import(arguments) if arguments.way == "import" else _export(arguments)


def _import(arguments: Namespace) -> int:
    from backspike.host.exchange.nir_import import import_nir  # noqa: PLC0415 - --help needs none of it
    from backspike.host.exchange.nir_neuron import Steps  # noqa: PLC0415

    save = _target(arguments, ".npz")
    names = ("dt", "reset", "fire", "method")
    steps = Steps(**{name: getattr(arguments, name) for name in names})
    found = import_nir(arguments.file, steps)
    given = {name: getattr(arguments, name) for name in ("steps", "data") if getattr(arguments, name) is not None}
    spec = found.save(save, **given)
    print(f"{arguments.file}: network {spec.network}, in steps of {steps.dt:g}")
    for line in found.report():
        print(line)
    for number, (changed, spikes) in enumerate(found.trial(spec.steps, arguments.trial)):
        print(f"layer {number}: rounding adds or takes {changed} spikes, beside {spikes}, in {arguments.trial} samples")
    print(f"{save}: weights and network, T = {spec.steps}, for --load")
    return 0


def _target(arguments: Namespace, ending: str) -> Path:
    """The file that is written; ``FileExistsError`` where it is there and must not be lost."""
    path = arguments.save or arguments.file.with_suffix(ending)
    if path.suffix != ending:
        raise ValueError(f"save must end in {ending}, not {str(path)!r}: use --save {path}{ending}")
    if path.exists() and not arguments.overwrite:
        raise FileExistsError(f"{path} exists: use --overwrite, or another --save")
    return path


def _export(arguments: Namespace) -> int:
    from backspike.host.exchange.nir_export import export_nir  # noqa: PLC0415 - --help needs none of it
    from backspike.host.training.checkpoint import read_spec, read_weights  # noqa: PLC0415

    save = _target(arguments, ".nir")
    spec = read_spec(arguments.file)
    if spec is None:
        raise ValueError(f"{arguments.file} must describe its network, not only hold weights")
    weights, _ = read_weights(arguments.file, spec.model)
    export_nir(save, spec.model, weights, arguments.dt)
    neuron = spec.model.layers[0].neuron
    print(f"{save}: network {spec.network}, in steps of {arguments.dt:g}")
    print(
        f"a reader must know what NIR has no word for: T = {spec.steps}, {neuron.reset} reset, neurons fire "
        f"{'above' if neuron.strict else 'at and above'} the threshold"
    )
    return 0
