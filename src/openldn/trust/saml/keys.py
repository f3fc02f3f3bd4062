"""Keys as the XML library wants them, made once: taking one over costs more than using it."""

from functools import lru_cache

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from xmlsec import constants

from openldn.base.errors import Issue, LdnError
from openldn.trust import jose

_PEM = serialization.Encoding.PEM
_KEPT = 256


@lru_cache(maxsize=_KEPT)
def private_key(key: jose.PrivateKey, leaf: x509.Certificate | None = None) -> xmlsec.Key:
    """The private key, with the certificate that KeyInfo is to show.

    Raises LdnError(exception) for a key that cannot leave its token.
    """
    form, bare = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    try:
        made = _loaded(key.private_bytes(_PEM, form, bare))
        if leaf is not None:
            made.load_cert_from_memory(leaf.public_bytes(_PEM), constants.KeyDataFormatPem)
    except (xmlsec.Error, AttributeError, NotImplementedError, ValueError) as error:
        text = "this key cannot be used for XML; give it as a file, not on a token"
        raise LdnError(Issue.EXCEPTION, text, detail=type(error).__name__) from error
    return made


@lru_cache(maxsize=_KEPT)
def public_key(certificate: x509.Certificate) -> xmlsec.Key:
    """The public key of a certificate, and nothing else of it; raises xmlsec.Error."""
    public = certificate.public_key()
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise xmlsec.Error("not a kind of key we use")
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return _loaded(public.public_bytes(_PEM, spki))


@lru_cache(maxsize=_KEPT)
def opener(key: rsa.RSAPrivateKey) -> xmlsec.KeysManager:
    """What opens what is encrypted to this key; making one loads all authorities of the system."""
    return _ring(private_key(key))


@lru_cache(maxsize=_KEPT)
def closer(receiver: x509.Certificate) -> xmlsec.KeysManager:
    """What encrypts to this certificate; raises xmlsec.Error."""
    return _ring(public_key(receiver))


def _ring(key: xmlsec.Key) -> xmlsec.KeysManager:
    made = xmlsec.KeysManager()
    made.add_key(key)
    return made


def _loaded(pem: bytes) -> xmlsec.Key:
    return xmlsec.Key.from_memory(pem, constants.KeyDataFormatPem)
