# SPDX-License-Identifier: Apache-2.0
"""Network on chip: flits, routers, mesh, host link."""
