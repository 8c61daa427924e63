# SPDX-License-Identifier: Apache-2.0
"""The three reduction engines, and the scanners that they are made of."""
