"""What `helm test` runs: every ready exporter behind the Service answers. Else it exits with 1.

HOW HOST PORT ACCESS: http, https (no certificate is verified, as the kubelet does not) or tcp; access: open,
or with-password, where /metrics turns away who has none.
"""

import socket
import ssl
import sys
import time
import urllib.error
import urllib.request

HOW, HOST, PORT, ACCESS = sys.argv[1:]
SECONDS = 120
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname, UNVERIFIED.verify_mode = False, ssl.CERT_NONE


def ask(address: str, path: str) -> tuple[int, str]:
    """Status and text; the status of an error, too."""
    host = f"[{address}]" if ":" in address else address
    try:
        url = f"{HOW}://{host}:{PORT}{path}"
        with urllib.request.urlopen(url, timeout=10, context=UNVERIFIED) as answer:  # noqa: S310 - http or https
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def try_one(address: str) -> str:
    """What it answers; raises OSError or ValueError where that is not right."""
    if HOW == "tcp":
        socket.create_connection((address, int(PORT)), timeout=10).close()
        return "listens"
    ready, _ = ask(address, "/-/ready")
    if ready != 200:
        raise ValueError(f"/-/ready answers {ready}")
    status, page = ask(address, "/metrics")
    if status == 401 and ACCESS == "with-password":
        return "is ready; /metrics wants a password"
    if status != 200 or "podjoule_ticks_total" not in page:
        raise ValueError(f"/metrics answers {status}, {len(page)} characters without podjoule's families")
    return f"is ready; /metrics has {len(page.splitlines())} lines"


def try_all() -> None:
    """Raises OSError or ValueError, naming the address, at the first that is not right."""
    found = sorted({str(each[4][0]) for each in socket.getaddrinfo(HOST, PORT, type=socket.SOCK_STREAM)})
    for address in found:
        try:
            sys.stdout.write(f"{address} {try_one(address)}\n")
        except (OSError, ValueError) as error:
            raise ValueError(f"{address}: {error}") from None


deadline = time.monotonic() + SECONDS
while True:
    try:
        try_all()
        break
    except (OSError, ValueError) as error:
        if time.monotonic() > deadline:
            sys.exit(f"{HOST}: {error}; see kubectl describe, and logs, of the DaemonSet")
        time.sleep(1)
