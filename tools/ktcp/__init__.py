# SPDX-License-Identifier: GPL-2.0
"""The tools that build, run and test ktcp_server; they run inside the build root."""
