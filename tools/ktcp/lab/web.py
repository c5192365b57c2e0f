# SPDX-License-Identifier: GPL-2.0
"""HTTP: khttpd, a tuned nginx, and the files that both serve."""

from __future__ import annotations

import random

from .. import userland
from . import cases, servers
from .cases import Case
from .servers import Server

ROOT = "/srv/www"
KIB, MIB = 1 << 10, 1 << 20
FILES = {"1k.bin": KIB, "1m.bin": MIB}
# Asked for to see whether a server is up
INDEX = b"up\n"
# Bytes of one response on each connection that take too long to be counted several times, and of
# which a second does not see enough
LARGE = 256 * MIB
CONFIG = "/etc/nginx/nginx.conf"

# A server for files, not for a benchmark: what its own documentation advises for static content.
# Names and sizes are kept for a minute, which is the default of open_file_cache_valid.
NGINX_CONFIG = f"""\
user root root;
worker_processes auto;
worker_rlimit_nofile {servers.DESCRIPTORS};
pid /run/nginx.pid;
error_log /run/nginx.log;

events {{
	use epoll;
	worker_connections 20000;
}}

http {{
	default_type application/octet-stream;
	access_log off;
	sendfile on;
	tcp_nopush on;
	tcp_nodelay on;
	keepalive_timeout 600s;
	keepalive_requests 1000000000;
	open_file_cache max=10000 inactive=600s;

	server {{
		listen %PORT% reuseport backlog={servers.BACKLOG};
		root {ROOT};
	}}
}}
"""

KHTTPD = Server(
    "khttpd",
    8080,
    "khttpd",
    f"{servers.LIBRARY} && insmod /modules/khttpd.ko root={ROOT} port={{port}} "
    f"backlog={servers.BACKLOG} max_connections={servers.DESCRIPTORS}",
    4,
    "rmmod khttpd",
    protocol="http",
)
NGINX = Server(
    "nginx",
    8081,
    "nginx",
    f"ulimit -n {servers.DESCRIPTORS}; mkdir -p /run /var/lib/nginx /var/log/nginx; "
    f"sed -i s/%PORT%/{{port}}/ {CONFIG}; /usr/bin/nginx 2>&1",
    5,
    "kill $(cat /run/nginx.pid)",
    protocol="http",
)
SERVERS = (KHTTPD, NGINX)


def files() -> dict[str, bytes]:
    """Returns the files that the servers need in a guest, beside the modules."""
    content = random.Random(1)
    found = {f"{ROOT}/{name}": content.randbytes(size) for name, size in FILES.items()}
    found[f"{ROOT}/index.html"] = INDEX
    found[CONFIG] = NGINX_CONFIG.encode()
    found["/etc/passwd"] = b"root:x:0:0:root:/:/bin/sh\n"
    found["/etc/group"] = b"root:x:0:\n"
    return {**found, **userland.programs(["nginx"])}


def path(size: int) -> str:
    """The file that has so many bytes, one of the sizes of `FILES`."""
    return next(f"/{name}" for name, found in FILES.items() if found == size)


def get(connections: int, size: int) -> Case:
    """A file of so many bytes, asked for on so many connections that stay open."""
    is_large = size * connections > LARGE
    return Case(
        f"http, {cases.count(connections, 'connection')}, {cases.size_of(size)}",
        f"--connections {connections} --path {path(size)}",
        protocol="http",
        requests=0 if is_large else cases.rounds(connections, size),
        seconds=6.0 if is_large else Case.seconds,
    )


CONNECTIONS = (64, 1000)
CASES = tuple(get(connections, size) for size in FILES.values() for connections in CONNECTIONS)
