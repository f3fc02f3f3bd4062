"""Certificates that are signed well and built badly: refused, never a fault of ours.

Found by `tools/fuzz.py leaf`: the library reads some parts only when they are asked for.
"""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from fuzz_bench import sealed
from trust.credentials.kit import Uzi, other_name, uzi_number

from openldn.base.errors import Issue, LdnError
from openldn.trust.certificates.party import load

WORD = "ODD"


def test_a_name_of_a_kind_that_cannot_be_leads_to_no_anchor() -> None:
    uzi = Uzi()
    odd = x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, WORD)]))
    names = [other_name(uzi_number("90000382")), odd]
    inside = uzi.leaf(uzi.fresh_key(), alternatives=names).tbs_certificate_bytes
    text = b"\x0c\x03" + WORD.encode()
    bits = b"\x03\x03" + WORD.encode()  # the same as a BIT STRING
    assert text in inside
    leaf = load(sealed(inside.replace(text, bits), uzi.key))

    with pytest.raises(LdnError) as caught:
        uzi.belief.anchors.check([leaf, uzi.issuing, uzi.root], uzi.clock())

    assert caught.value.issue is Issue.LOGIN
