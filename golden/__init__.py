# SPDX-License-Identifier: Apache-2.0
"""The golden model, in numpy."""
