# SPDX-License-Identifier: GPL-2.0
"""The laboratory: measures our servers and others on the unmodified distribution kernel.

Load generator and servers run in the same guest. Two kinds of figure are taken:

- *instructions per echo*, in a guest with one CPU in which a nanosecond is an instruction. The
  client's part is in them. They are repeatable, whatever else this machine does meanwhile;
- *rate and latency*, in a guest with two CPUs. They are those of this machine at this moment, so
  runs of the servers alternate, and the median counts.
"""
