"""Encrypted assertions: opened and closed by xmlsec, with the algorithms we accept only.

Source: XML Encryption 1.1; SAML core §2.3.4, §6.
"""

from copy import deepcopy

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from xmlsec import constants

from openldn.base.errors import Issue, LdnError
from openldn.trust.saml.keys import closer, opener
from openldn.trust.saml.names import (
    AES256_GCM,
    CIPHERS,
    DS,
    ENCRYPTED_DATA,
    KEY_TRANSPORTS,
    SAML,
    XENC,
)
from openldn.trust.saml.xml import Element, attribute, children, failed, fresh, only
from openldn.trust.trail import Rule, Trail

ALGORITHM = Rule(
    "saml.encryption.alg", "XML Encryption §5.2, §5.5.2", "RSA-OAEP with AES in GCM or CBC"
)
# One rule for whatever goes wrong inside: which step it was would help who tries ciphertexts.
DECRYPTED = Rule("saml.encryption", "SAML core §6", "the assertion is encrypted to our key")

_ELEMENT = f"{XENC}Element"


def decrypt(data: Element, keys: tuple[rsa.RSAPrivateKey, ...], trail: Trail) -> bytes:
    """The bytes inside an EncryptedData, whose key is in it or beside it.

    They are bytes, not a tree: they must go through `xml.parse` as everything from outside.
    """
    wrapped = _wrapped_key(data, trail)
    cipher = attribute(only(data, f"{{{XENC}}}EncryptionMethod", DECRYPTED, trail), "Algorithm")
    method = only(wrapped, f"{{{XENC}}}EncryptionMethod", DECRYPTED, trail)
    transport = attribute(method, "Algorithm")
    trail.require(cipher in CIPHERS and transport in KEY_TRANSPORTS, ALGORITHM)
    closed = _closed(data, wrapped, trail)
    for key in keys:
        if (content := _opened(closed, key)) is not None:
            trail.note(DECRYPTED, cipher.partition("#")[2])
            return content
    raise failed(trail, DECRYPTED)


def _wrapped_key(data: Element, trail: Trail) -> Element:
    tag = f"{{{XENC}}}EncryptedKey"
    parent = data.getparent()
    beside = children(parent, tag) if parent is not None else []
    found = [*data.iter(tag), *beside]
    trail.require(len(found) == 1, DECRYPTED)
    return found[0]


def _closed(data: Element, wrapped: Element, trail: Trail) -> Element:
    """A clean EncryptedData of the two ciphers and their values, whatever else was sent.

    Without `Type` the library gives bytes and leaves the tree alone; without the inner KeyInfo
    it does not search for our key by what the sender says of it.
    """
    clean = etree.Element(ENCRYPTED_DATA, nsmap={"xenc": XENC, "ds": DS})
    info = etree.Element(f"{{{DS}}}KeyInfo")
    inner = etree.SubElement(info, f"{{{XENC}}}EncryptedKey")
    for source, target in ((data, clean), (wrapped, inner)):
        target.append(deepcopy(only(source, f"{{{XENC}}}EncryptionMethod", DECRYPTED, trail)))
        content = only(source, f"{{{XENC}}}CipherData", DECRYPTED, trail)
        value = only(content, f"{{{XENC}}}CipherValue", DECRYPTED, trail)
        kept = etree.SubElement(target, f"{{{XENC}}}CipherData")
        etree.SubElement(kept, f"{{{XENC}}}CipherValue").text = value.text
    clean.insert(1, info)
    return clean


def _opened(closed: Element, key: rsa.RSAPrivateKey) -> bytes | None:
    try:
        content: object = xmlsec.EncryptionContext(opener(key)).decrypt(deepcopy(closed))
    except (xmlsec.Error, etree.LxmlError, ValueError):
        return None
    return content if isinstance(content, bytes) else None


def encrypt(content: bytes, receiver: x509.Certificate, cipher: str = AES256_GCM) -> Element:
    """An EncryptedAssertion of these bytes that only the receiver can open.

    Raises LdnError(invalid) for a certificate whose key is not RSA.
    """
    if not isinstance(receiver.public_key(), rsa.RSAPublicKey):
        text = "an assertion is encrypted to an RSA certificate; ask the receiver for one"
        raise LdnError(Issue.INVALID, text)
    method, bits = CIPHERS[cipher]
    whole = fresh("EncryptedAssertion", SAML)
    data = xmlsec.template.encrypted_data_create(whole, method, type=_ELEMENT, ns="xenc")
    xmlsec.template.encrypted_data_ensure_cipher_value(data)
    info = xmlsec.template.encrypted_data_ensure_key_info(data, ns="ds")
    wrapped = xmlsec.template.add_encrypted_key(info, constants.TransformRsaOaep)
    xmlsec.template.encrypted_data_ensure_cipher_value(wrapped)
    context = xmlsec.EncryptionContext(closer(receiver))
    session = constants.KeyDataTypeSession
    context.key = xmlsec.Key.generate(constants.KeyDataAes, bits, session)
    whole.append(context.encrypt_binary(data, content))
    return whole
