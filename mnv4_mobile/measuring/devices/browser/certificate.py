"""Makes a certificate for the addresses of this computer."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

_VALID = timedelta(days=2)


def addresses() -> list[str]:
    """Returns this computer's IPv4 addresses on its networks, the one for other computers first.

    The list is empty without a network.
    """
    found = [
        entry.address
        for name, entries in psutil.net_if_addrs().items()
        if psutil.net_if_stats()[name].isup
        for entry in entries
        if entry.family is socket.AF_INET and not ipaddress.ip_address(entry.address).is_loopback
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, but finds the route
        except OSError:
            return found
        first: str = probe.getsockname()[0]
    return sorted(found, key=lambda address: address != first)


def context(names: list[str]) -> tuple[ssl.SSLContext, str]:
    """Makes a TLS context with a new key and a certificate for these addresses.

    Returns:
        The context, and the certificate's SHA-256 as browsers show it: `AB:CD:...`.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mnv4 measure")])
    now = datetime.now(UTC)
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(name)) for name in names
    ]
    alternatives.append(x509.DNSName("localhost"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    # The ssl module reads only files; only this user can read those of mkstemp.
    handle, name = tempfile.mkstemp(prefix="mnv4-", suffix=".pem")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
        tls.load_cert_chain(name)
    finally:
        Path(name).unlink()
    return tls, certificate.fingerprint(hashes.SHA256()).hex(":").upper()
