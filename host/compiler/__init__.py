# SPDX-License-Identifier: Apache-2.0
"""From a network to what each core is loaded with."""
