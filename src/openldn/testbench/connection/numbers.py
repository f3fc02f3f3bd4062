"""The numbers of TLS on the wire, by name. Source: IANA, TLS Parameters."""

SSL3, TLS10, TLS11, TLS12, TLS13 = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304
VERSIONS = {
    SSL3: "SSL 3.0",
    TLS10: "TLS 1.0",
    TLS11: "TLS 1.1",
    TLS12: "TLS 1.2",
    TLS13: "TLS 1.3",
}

SUITES_1_3 = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
}
SUITES_1_2 = {  # forward secrecy and authenticated encryption, by OpenSSL's names
    "ECDHE-ECDSA-AES256-GCM-SHA384": 0xC02C,
    "ECDHE-RSA-AES256-GCM-SHA384": 0xC030,
    "ECDHE-ECDSA-CHACHA20-POLY1305": 0xCCA9,
    "ECDHE-RSA-CHACHA20-POLY1305": 0xCCA8,
    "ECDHE-ECDSA-AES128-GCM-SHA256": 0xC02B,
    "ECDHE-RSA-AES128-GCM-SHA256": 0xC02F,
}
STATIC_RSA = {"AES256-GCM-SHA384": 0x009D, "AES128-GCM-SHA256": 0x009C}
BROKEN = {  # suites of TLS 1.2 and before that nobody may accept, by what is wrong
    "CBC": (
        *(0xC024, 0xC028, 0xC00A, 0xC014, 0xC023, 0xC027, 0xC009, 0xC013),
        *(0x003D, 0x003C, 0x0035, 0x002F, 0x006B, 0x0067, 0x0039, 0x0033),
    ),
    "RC4": (0xC007, 0xC011, 0x0005, 0x0004),
    "3DES": (0xC008, 0xC012, 0x000A, 0x0016),
    "NULL": (0xC006, 0xC010, 0x003B, 0x0002, 0x0001),
    "EXPORT": (0x0003, 0x0006, 0x0008, 0x0014, 0x0017, 0x0019),
    "anonymous": (0x00A6, 0x00A7, 0xC018, 0xC019, 0x0034, 0x003A, 0x006C, 0x006D),
}
LEGACY = (*BROKEN["CBC"], *BROKEN["3DES"], *BROKEN["RC4"])  # what TLS 1.1 and before know

GROUPS = {
    "X25519": 29,
    "P-256": 23,
    "P-384": 24,
    "P-521": 25,
    "X448": 30,
    "SecP256r1MLKEM768": 0x11EB,
    "X25519MLKEM768": 0x11EC,
    "SecP384r1MLKEM1024": 0x11ED,
}
WEAK_GROUPS = {"P-192": 19, "P-224": 21, "secp160r1": 16, "sect163k1": 1}

SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601)
LEGACY_SIGNATURES = (*SIGNATURES, 0x0203, 0x0201)  # with SHA-1, for what is old

ALERTS = {
    0: "close_notify",
    10: "unexpected_message",
    20: "bad_record_mac",
    22: "record_overflow",
    40: "handshake_failure",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    112: "unrecognized_name",
    116: "certificate_required",
    120: "no_application_protocol",
}


def _named() -> dict[int, str]:
    found = {number: name for name, number in (*SUITES_1_3.items(), *SUITES_1_2.items())}
    found |= {number: name for name, number in STATIC_RSA.items()}
    for kind, numbers in BROKEN.items():
        found |= {number: f"{kind} suite 0x{number:04x}" for number in numbers}
    return found


_SUITES = _named()
_GROUPS = {number: name for name, number in (*GROUPS.items(), *WEAK_GROUPS.items())}


def suite_name(number: int) -> str:
    """The name of a suite, or its number."""
    return _SUITES.get(number, f"suite 0x{number:04x}")


def group_name(number: int) -> str:
    """The name of a group, or its number."""
    return _GROUPS.get(number, f"group {number}")


def alert_name(number: int) -> str:
    """An alert with its number, as it stands in the evidence."""
    return f"alert {number} {ALERTS.get(number, '')}".rstrip()
