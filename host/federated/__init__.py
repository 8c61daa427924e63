# SPDX-License-Identifier: Apache-2.0
"""Federated learning: workers train on data of their own, and an exact mean of their weights goes round."""
