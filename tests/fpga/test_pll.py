# SPDX-License-Identifier: Apache-2.0
"""Settings of the PLLs: within the limits of the devices, and the best there are."""

from fractions import Fraction

import pytest

from backspike.fpga.flow.pll import LIMITS, pll_setting

REFERENCES = {"ecp5": (12, 25, 48, 50, 100), "gw1n": (27,), "gw2a": (27,)}
CASES = [(kind, reference) for kind, references in REFERENCES.items() for reference in references]


def frequencies(kind, reference, dividers):
    """Phase detector, oscillator, output, and what is fed back, in MHz, from the equations in the data sheets."""
    if kind == "ecp5":
        detector = Fraction(reference, dividers["CLKI_DIV"])
        fed_back = detector * dividers["CLKFB_DIV"]
        oscillator = fed_back * dividers["CLKOP_DIV"]
        return detector, oscillator, oscillator / dividers["CLKOS_DIV"], fed_back
    detector = Fraction(reference, dividers["IDIV_SEL"] + 1)
    output = detector * (dividers["FBDIV_SEL"] + 1)
    return detector, output * dividers["ODIV_SEL"], output, output


RANGES = {
    "ecp5": {
        "CLKI_DIV": range(1, 129),
        "CLKFB_DIV": range(1, 129),
        "CLKOP_DIV": range(1, 129),
        "CLKOS_DIV": range(1, 129),
    },
    "gw1n": {"IDIV_SEL": range(64), "FBDIV_SEL": range(64), "ODIV_SEL": (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)},
}
RANGES["gw2a"] = RANGES["gw1n"]


@pytest.mark.parametrize(("kind", "reference"), CASES)
def test_every_setting_keeps_to_the_limits(kind, reference):
    """For wanted clocks from 4 to 240 MHz: dividers that exist, frequencies in range, output not above."""
    limits = LIMITS[kind]
    found = 0
    for wanted in [*range(4, 60), *range(60, 241, 12), Fraction(100, 3), Fraction("62.5")]:
        if wanted < limits.output[0]:
            continue
        try:
            setting = pll_setting(kind, reference, wanted)
        except ValueError:
            assert wanted < 20, wanted  # only where the slowest output is not one of the PLL's steps
            continue
        found += 1
        detector, oscillator, output, fed_back = frequencies(kind, reference, setting.dividers)
        assert (detector, oscillator, output) == (setting.detector, setting.oscillator, setting.output)
        assert setting.dividers.keys() == RANGES[kind].keys()
        assert all(value in RANGES[kind][name] for name, value in setting.dividers.items())
        assert limits.detector[0] <= detector <= limits.detector[1]
        assert limits.oscillator[0] <= oscillator <= limits.oscillator[1]
        assert limits.output[0] <= fed_back <= limits.output[1]
        assert limits.output[0] <= output <= wanted
        assert output > wanted * Fraction(8, 10), (wanted, output)
    assert found > 50


@pytest.mark.parametrize(
    ("kind", "reference", "wanted"),
    [
        ("ecp5", 25, 25),
        ("ecp5", 25, 40),
        ("ecp5", 48, 24),
        ("ecp5", 100, 75),
        ("ecp5", 50, 60),
        ("gw1n", 27, 18),
        ("gw1n", 27, 54),
        ("gw2a", 27, 27),
    ],
)
def test_possible_clocks_are_met_exactly(kind, reference, wanted):
    assert pll_setting(kind, reference, wanted).output == wanted


@pytest.mark.parametrize(
    ("kind", "reference", "wanted", "text"),
    [
        ("ecp5", 25, 3, "the clock must be at least 3.125 MHz with a PLL, or 25 MHz without one, not 3"),
        ("ecp5", 7, 50, "the reference of a PLL must be 10 to 400 MHz, not 7"),
    ],
)
def test_what_a_pll_cannot_do_is_refused(kind, reference, wanted, text):
    with pytest.raises(ValueError) as caught:
        pll_setting(kind, reference, wanted)
    assert str(caught.value) == text
