# SPDX-License-Identifier: GPL-2.0
"""Whose memory it is, by a trace."""

from __future__ import annotations

from ktcp import allocations

TRACE = """
 kecho/accept-100 [000] ..... 1.0: kmalloc: call_site=krealloc_node_align_noprof+0x10/0x20 ptr=00000001 bytes_req=200 bytes_alloc=256 gfp_flags=GFP_KERNEL node=-1 accounted=false
 kecho/accept-100 [000] ..... 1.1: kmalloc: call_site=ktcp_watch+0x10/0x20 [ktcp_server] ptr=00000002 bytes_req=60 bytes_alloc=64 gfp_flags=GFP_KERNEL node=-1 accounted=false
 ktcp-bench-101 [001] ..... 1.2: kmalloc: call_site=tcp_sendmsg+0x10/0x20 ptr=00000003 bytes_req=500 bytes_alloc=512 gfp_flags=GFP_KERNEL node=-1 accounted=false
 kecho/loop0-99 [000] ..... 1.3: kmalloc: call_site=krealloc_node_align_noprof+0x10/0x20 ptr=00000004 bytes_req=32 bytes_alloc=32 gfp_flags=GFP_KERNEL node=-1 accounted=false
 kecho/loop0-99 [000] ..... 1.4: kfree: call_site=_RNv+0x10/0x20 ptr=00000004
 kecho/loop0-99 [000] ..... 1.5: kfree: call_site=_RNv+0x10/0x20 ptr=00000002
 ktcp-bench-101 [001] ..... 1.6: kmalloc: call_site=tcp_sendmsg+0x10/0x20 ptr=00000002 bytes_req=60 bytes_alloc=64 gfp_flags=GFP_KERNEL node=-1 accounted=false
"""


def test_allocations_of_ours_that_were_not_freed_are_added_up() -> None:
    assert allocations.sums(TRACE) == {"krealloc_node_align_noprof": 256}
