# SPDX-License-Identifier: GPL-2.0
"""Sends runs of bytes to HOST PORT with an urgent byte between each two of them; fails unless all of it
comes back in its order. The other arguments are the lengths of the runs."""

import socket
import sys
import threading

runs = [bytes(place % 251 for place in range(int(length))) for length in sys.argv[3:]]

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30) as connection:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send() -> None:
        connection.sendall(runs[0])
        for run in runs[1:]:
            connection.send(b"!", socket.MSG_OOB)
            connection.sendall(run)
        connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=send).start()
    received = bytearray()
    while piece := connection.recv(65536):
        received += piece

sent = b"!".join(runs)
if received != sent:
    differs = next((at for at, pair in enumerate(zip(sent, received)) if pair[0] != pair[1]), "no")
    sys.exit(f"sent {len(sent)} bytes, received {len(received)}; byte {differs} differs")
