# SPDX-License-Identifier: Apache-2.0
"""Divider settings of the PLLs of the device families, as pure functions, and their instances."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from amaranth.hdl import Const, Instance, Signal, Value

from backspike.fpga.flow.devices import DEVICES

__all__ = ["LIMITS", "Limits", "Setting", "pll_instance", "pll_setting"]

_GOWIN_OUTPUT_DIVIDERS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Ranges of a PLL, (lowest, highest) in MHz."""

    reference: tuple[Fraction | int, Fraction | int]
    detector: tuple[Fraction | int, Fraction | int]
    oscillator: tuple[Fraction | int, Fraction | int]
    output: tuple[Fraction | int, Fraction | int]


LIMITS = {
    # FPGA-DS-02012, sysCLOCK PLL timing; the reference may be 8 MHz, but then the detector would be too slow
    "ecp5": Limits(reference=(10, 400), detector=(10, 400), oscillator=(400, 800), output=(Fraction("3.125"), 400)),
    # DS117, PLL parameters of C6/I5
    "gw1n": Limits(reference=(3, 400), detector=(3, 400), oscillator=(400, 1200), output=(Fraction("3.125"), 600)),
    # DS102, PLL parameters of C8/I7
    "gw2a": Limits(reference=(3, 500), detector=(3, 500), oscillator=(500, 1250), output=(Fraction("3.90625"), 625)),
}


@dataclass(frozen=True)
class Setting:
    """Dividers of a PLL and the frequencies that follow, in MHz (exact fractions)."""

    output: Fraction
    detector: Fraction
    oscillator: Fraction
    dividers: dict[str, int]


@cache
def pll_setting(kind: str, reference: Fraction | float, wanted: Fraction | float) -> Setting:
    """The setting with the highest output that is not above the wanted one.

    Among settings with the same output, the one with the fastest phase detector, then with the slowest oscillator.

    Parameters
    ----------
    kind : str
        A key of ``LIMITS``.
    reference, wanted : Fraction or float
        MHz; integers, fractions, or floats, which are rounded to 1 Hz.

    Raises
    ------
    ValueError
        The reference is out of range, or the PLL has no output at or below the wanted one.
    """
    limits = LIMITS[kind]
    reference, wanted = (
        Fraction(round(value * 10**6), 10**6) if isinstance(value, float) else Fraction(value)
        for value in (reference, wanted)
    )
    if not limits.reference[0] <= reference <= limits.reference[1]:
        raise ValueError(f"the reference of a PLL must be {_text(limits.reference)} MHz, not {float(reference):g}")
    found = [
        setting
        for setting in _CANDIDATES[kind](limits, reference, wanted)
        if limits.output[0] <= setting.output <= min(wanted, limits.output[1])
    ]
    if not found:
        raise ValueError(
            f"the clock must be at least {float(limits.output[0]):g} MHz with a PLL, or "
            f"{float(reference):g} MHz without one, not {float(wanted):g}"
        )
    return max(found, key=lambda setting: (setting.output, setting.detector, -setting.oscillator))


def _detectors(limits, reference, most):
    """``(divider, frequency)`` of the phase detector."""
    for divider in range(1, most + 1):
        if limits.detector[0] <= reference / divider <= limits.detector[1]:
            yield divider, reference / divider


def _ecp5(limits, reference, wanted):
    """CLKOP is fed back, CLKOS is the output; its divider need not be that of CLKOP."""
    for clki, detector in _detectors(limits, reference, 128):
        for factor in range(2, 257):
            oscillator = detector * factor
            if not limits.oscillator[0] <= oscillator <= limits.oscillator[1]:
                continue
            clkop = next(
                divider
                for divider in range(2, factor + 1)  # so that CLKOP keeps to its range too
                if factor % divider == 0 and oscillator / divider <= limits.output[1]
            )
            clkos = -(-oscillator // wanted)
            if factor // clkop <= 128 and clkos <= 128:
                dividers = {"CLKI_DIV": clki, "CLKFB_DIV": factor // clkop, "CLKOP_DIV": clkop, "CLKOS_DIV": clkos}
                yield Setting(oscillator / clkos, detector, oscillator, dividers)


def _gowin(limits, reference, wanted):
    for divider, detector in _detectors(limits, reference, 64):
        for factor in range(1, 65):
            for post in _GOWIN_OUTPUT_DIVIDERS:
                oscillator = detector * factor * post
                if limits.oscillator[0] <= oscillator <= limits.oscillator[1]:
                    dividers = {"IDIV_SEL": divider - 1, "FBDIV_SEL": factor - 1, "ODIV_SEL": post}
                    yield Setting(detector * factor, detector, oscillator, dividers)


_CANDIDATES = {"ecp5": _ecp5, "gw1n": _gowin, "gw2a": _gowin}


def pll_instance(
    device: str, setting: Setting, reference: Fraction | float, clock_in: Value, clock_out: Signal, locked: Signal
) -> Instance:
    """The PLL of a device.

    Parameters
    ----------
    device : str
        A key of ``DEVICES``.
    setting : Setting
    reference : Fraction or float
        MHz.
    clock_in : Value
        What comes from the input buffer.
    clock_out, locked : Signal
        Signal(1) that the PLL drives.
    """
    kind = DEVICES[device].family
    dividers = {f"p_{name}": value for name, value in setting.dividers.items()}
    if kind == "ecp5":
        feedback = Signal()
        clkos = setting.dividers["CLKOS_DIV"]
        return Instance(
            "EHXPLLL",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            **dividers,
            p_FEEDBK_PATH="CLKOP",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOS_ENABLE="ENABLED",
            p_CLKOP_CPHASE=setting.dividers["CLKOP_DIV"] - 1,
            p_CLKOS_CPHASE=clkos - 1,
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            i_CLKI=clock_in,
            i_CLKFB=feedback,
            o_CLKOP=feedback,
            o_CLKOS=clock_out,
            o_LOCK=locked,
            i_RST=Const(0),
            i_STDBY=Const(0),
            i_PLLWAKESYNC=Const(0),
            i_ENCLKOP=Const(0),
            i_ENCLKOS=Const(0),
            i_PHASESEL0=Const(0),
            i_PHASESEL1=Const(0),
            i_PHASEDIR=Const(1),
            i_PHASESTEP=Const(1),
            i_PHASELOADREG=Const(1),
        )
    return Instance(
        "rPLL",
        **dividers,
        p_FCLKIN=f"{float(reference):g}",
        p_DYN_IDIV_SEL="false",
        p_DYN_FBDIV_SEL="false",
        p_DYN_ODIV_SEL="false",
        p_CLKFB_SEL="internal",
        p_DEVICE=device,
        i_CLKIN=clock_in,
        o_CLKOUT=clock_out,
        o_LOCK=locked,
        i_RESET=Const(0),
        i_RESET_P=Const(0),
        i_CLKFB=Const(0),
        i_FBDSEL=Const(0, 6),
        i_IDSEL=Const(0, 6),
        i_ODSEL=Const(0, 6),
        i_PSDA=Const(0, 4),
        i_DUTYDA=Const(0, 4),
        i_FDLY=Const(0, 4),
    )


def _text(limits):
    return f"{float(limits[0]):g} to {float(limits[1]):g}"
