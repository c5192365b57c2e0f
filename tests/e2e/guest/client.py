# SPDX-License-Identifier: GPL-2.0
"""Sends standard input to HOST PORT, and writes what comes back."""

import socket
import sys
import threading

with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30) as connection:

    def send() -> None:
        connection.sendall(sys.stdin.buffer.read())
        connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=send).start()
    while received := connection.recv(1000):
        sys.stdout.buffer.write(received)
