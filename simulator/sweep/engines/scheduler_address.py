"""Where a Dask scheduler is, and how to talk to it: in the clear within one machine, by TLS beyond."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from distributed.comm.addressing import get_address_host, parse_address
from distributed.security import Security

from dieshot.simulator.errors import InputError
from dieshot.simulator.sweep.engines.options import EngineOptions

PLAIN, ENCRYPTED = "tcp", "tls"
LONGEST_FILE_BYTES = 1_000_000
ALL_OF_TLS = "all of --tls-ca, --tls-cert, --tls-key"
_TLS_OPTIONS = {"tls_ca": "--tls-ca", "tls_cert": "--tls-cert", "tls_key": "--tls-key"}


def address_of(options: EngineOptions) -> str:
    """Return the scheduler's address, as given or as its file says now; InputError if it must not be used."""
    if options.address is not None:
        return checked_address(options.address, "--address")
    if options.scheduler_file is None:
        raise InputError("the dask engine has to know its scheduler", key="--address or --scheduler-file")
    return address_in(options.scheduler_file)


def address_in(file: Path) -> str:
    """Return the address in a scheduler file."""
    try:
        with file.open("rb") as opened:
            address = json.loads(opened.read(LONGEST_FILE_BYTES))["address"]
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(file)) from None
    except (ValueError, KeyError, TypeError):
        raise InputError("not a scheduler file of Dask", file=str(file), expected="an object with an address") from None
    return checked_address(address, str(file))


def checked_address(address: object, key: str) -> str:
    """Return an address with its protocol; InputError if it is none, or leads beyond this machine in the clear."""
    expected = "an address such as tcp://127.0.0.1:8786 or tls://host:8786"
    if not isinstance(address, str) or not address:
        raise InputError("not an address", key=key, value=address, expected=expected)
    full = address if "://" in address else f"{PLAIN}://{address}"
    try:
        protocol, _ = parse_address(full)
        host = get_address_host(full)
    except (ValueError, TypeError):
        raise InputError("not an address", key=key, value=address, expected=expected) from None
    if protocol not in (PLAIN, ENCRYPTED) or not host:
        raise InputError("not an address", key=key, value=address, expected=expected)
    if protocol == PLAIN and not _is_loopback(host):
        problem = "a scheduler on another machine is talked to by TLS only; start it with --tls-ca-file, --tls-cert and"
        raise InputError(
            f"{problem} --tls-key", key=key, value=address, expected="tls://HOST:PORT with --tls-ca, -cert and -key"
        )
    return full


def security_of(options: EngineOptions) -> Security | None:
    """Return the certificates to use: those given, or those of Dask's own configuration; None for no TLS."""
    given = {name: getattr(options, name) for name in _TLS_OPTIONS}
    for name, file in given.items():
        if file is not None and not file.is_file():
            raise InputError("no such file", key=_TLS_OPTIONS[name], value=str(file))
    absent = [_TLS_OPTIONS[name] for name, file in given.items() if file is None]
    if absent and len(absent) < len(given):
        raise InputError("certificates are incomplete", key=absent[0], expected=ALL_OF_TLS)
    if not address_of(options).startswith(f"{ENCRYPTED}://"):
        return None
    if not absent:
        return security(given["tls_ca"], given["tls_cert"], given["tls_key"])
    configured = Security()
    if not all(getattr(configured, name) for name in ("tls_ca_file", "tls_client_cert")):
        raise InputError("TLS without certificates", key=absent[0], expected=ALL_OF_TLS)
    return configured


def security(authority: Path, certificate: Path, key: Path) -> Security:
    """Return what a client needs to talk by TLS only."""
    return Security(
        require_encryption=True,
        tls_ca_file=str(authority),
        tls_client_cert=str(certificate),
        tls_client_key=str(key),
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
