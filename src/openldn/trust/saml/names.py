"""The names SAML, XML signature, XML encryption and WS-Trust use."""

from xmlsec import constants

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
EXC_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
ENVELOPED = f"{DS}enveloped-signature"
HL7 = "urn:hl7-org:v3"

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://www.w3.org/2005/08/addressing"
WSP = "http://schemas.xmlsoap.org/ws/2004/09/policy"
WSU = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
WSSE = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
TRUST = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"

BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
HOLDER_OF_KEY = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key"
X509 = "urn:oasis:names:tc:SAML:2.0:ac:classes:X509"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"

ASSERTION = f"{{{SAML}}}Assertion"
ENCRYPTED_ASSERTION = f"{{{SAML}}}EncryptedAssertion"
ENCRYPTED_DATA = f"{{{XENC}}}EncryptedData"
RESPONSE = f"{{{SAMLP}}}Response"
SIGNATURE = f"{{{DS}}}Signature"

_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
# Name in a peer profile -> name on the wire, and the library's. SHA-1 and HMAC are not here: a
# public certificate must never serve as a shared secret.
SIGNATURES = {
    "rsa-sha256": (f"{_MORE}rsa-sha256", constants.TransformRsaSha256),
    "rsa-sha384": (f"{_MORE}rsa-sha384", constants.TransformRsaSha384),
    "rsa-sha512": (f"{_MORE}rsa-sha512", constants.TransformRsaSha512),
    "ecdsa-sha256": (f"{_MORE}ecdsa-sha256", constants.TransformEcdsaSha256),
    "ecdsa-sha384": (f"{_MORE}ecdsa-sha384", constants.TransformEcdsaSha384),
    "ecdsa-sha512": (f"{_MORE}ecdsa-sha512", constants.TransformEcdsaSha512),
}
DIGESTS = {
    f"{XENC}sha256": constants.TransformSha256,
    f"{_MORE}sha384": constants.TransformSha384,
    f"{XENC}sha512": constants.TransformSha512,
}
# RSA 1.5 is not here: its padding leaks (XML Encryption 1.1 §5.5.1).
KEY_TRANSPORTS = frozenset({f"{XENC}rsa-oaep-mgf1p", f"{XENC11}rsa-oaep"})
CIPHERS = {  # name on the wire -> the library's name, bits of the key
    f"{XENC11}aes128-gcm": (constants.TransformAes128Gcm, 128),
    f"{XENC11}aes192-gcm": (constants.TransformAes192Gcm, 192),
    f"{XENC11}aes256-gcm": (constants.TransformAes256Gcm, 256),
    f"{XENC}aes128-cbc": (constants.TransformAes128Cbc, 128),
    f"{XENC}aes192-cbc": (constants.TransformAes192Cbc, 192),
    f"{XENC}aes256-cbc": (constants.TransformAes256Cbc, 256),
}
AES256_GCM = f"{XENC11}aes256-gcm"
