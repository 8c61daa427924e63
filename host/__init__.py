# SPDX-License-Identifier: Apache-2.0
"""Host software: compiler, packet protocol, driver, data sets, command line."""
