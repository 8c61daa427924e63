# SPDX-License-Identifier: Apache-2.0
"""Settings of all tests of the hardware."""


def pytest_configure(config):
    """Components that refuse their parameters are never elaborated: no reason for a warning."""
    config.addinivalue_line("filterwarnings", "ignore:.*created but never used")
