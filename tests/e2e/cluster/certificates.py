"""The cluster's certificate authority, and what it signs: for 30 days, on P-256 keys."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.e2e.cluster.place import NODE_IP, NODE_NAME, SERVICE_IP

_VALID = datetime.timedelta(days=30)
_LEAF_USES = ("digital_signature",)
_AUTHORITY_USES = ("digital_signature", "key_cert_sign", "crl_sign")
_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a certificate is for: Kubernetes takes the user from `name` and the group from `group`."""

    file: str
    name: str
    group: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def subject(self) -> x509.Name:
        group = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, self.group)] if self.group else []
        return x509.Name([*group, x509.NameAttribute(NameOID.COMMON_NAME, self.name)])


API_SERVER = Identity(
    "apiserver", "kube-apiserver", "", ("localhost", "kubernetes.default.svc", "127.0.0.1", SERVICE_IP)
)
KUBELET = Identity("kubelet", f"system:node:{NODE_NAME}", "system:nodes", (NODE_NAME, NODE_IP, "127.0.0.1"))
USERS = (
    Identity("admin", "admin", "system:masters"),
    Identity("controller-manager", "system:kube-controller-manager"),
    Identity("scheduler", "system:kube-scheduler"),
    KUBELET,
)


class Authority:
    """A new certificate authority."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._subject, self._subject, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = builder.add_extension(_key_usage(_AUTHORITY_USES), critical=True).sign(
            self._key, hashes.SHA256()
        )

    def issue(self, identity: Identity, folder: Path) -> None:
        """Write FILE.crt and FILE.key."""
        key = ec.generate_private_key(ec.SECP256R1())
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(identity.subject, self._subject, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(_LEAF_USES), critical=True)
            .add_extension(uses, critical=False)
            .add_extension(issuer, critical=False)
        )
        if identity.addresses:
            builder = builder.add_extension(_names(identity.addresses), critical=False)
        write_key(folder / f"{identity.file}.key", key)
        signed = builder.sign(self._key, hashes.SHA256())
        (folder / f"{identity.file}.crt").write_bytes(signed.public_bytes(Encoding.PEM))


def issue_all(folder: Path) -> None:
    """What a cluster needs: ca.crt, a pair for each part, and the service accounts' sa.key and sa.pub."""
    authority = Authority("podjoule-cluster")
    (folder / "ca.crt").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    for identity in (API_SERVER, *USERS):
        authority.issue(identity, folder)
    tokens = ec.generate_private_key(ec.SECP256R1())
    write_key(folder / "sa.key", tokens)
    public = tokens.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "sa.pub").write_bytes(public)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """For its owner alone."""
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(chosen: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in chosen for use in _USES})


def _names(addresses: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general_name(address) for address in addresses])


def _general_name(address: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(address))
    except ValueError:
        return x509.DNSName(address)
