"""The folder and the ports of a network on a laptop: ours alone, written whole, told by name."""

import os
import re
import socket
from pathlib import Path

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.testbench.laptop import ground
from openldn.testbench.laptop.plan import HOST, Plan, plan


def quiet_base() -> int:
    """A port base with nothing on any of its ports now."""
    bases = range(18400, 40000, 100)
    return next(b for b in bases if all(map(ground.free, plan(Path("x"), b).ports.values())))


def test_everybody_has_a_port_of_their_own(tmp_path: Path) -> None:
    assert plan(tmp_path).ports == {
        "portal": 8400,
        "addressing": 8401,
        "authority": 8402,
        "broker": 8403,
        "zorgplatform": 8404,
        "dezi": 8405,
        "localization": 8406,
        "pseudonyms": 8407,
        "consent": 8408,
        "hospital": 8410,
        "clinic": 8411,
        "rehabilitation": 8412,
        "gp": 8413,
        "pharmacy": 8414,
    }


def test_the_network_file_tells_where_everything_is(tmp_path: Path) -> None:
    network = plan(tmp_path, 9000).network()
    assert {key: network[key] for key in network if key not in {"nodes", "functions"}} == {
        "version": 1,
        "services": {
            "addressing": "https://127.0.0.1:9001/fhir/R4",
            "broker": "https://localhost:9003/oauth2/broker",
        },
        "simulators": [],
        "portals": {
            "home": "http://127.0.0.1:9000/",
            "administration": "http://127.0.0.1:9000/beheer/",
            "citizens": "http://127.0.0.1:9000/mijn/",
        },
        "trust": {
            "ca": str(tmp_path / "pki" / "ca.pem"),
            "revocation": "http://127.0.0.1:9002/crl/issuing.crl",
            "saml": {
                "https://localhost:9003/oauth2/broker": str(
                    tmp_path / "pki" / "broker-saml" / "pinned.pem"
                ),
                "https://localhost:9004/sts": str(tmp_path / "pki" / "zorgplatform" / "pinned.pem"),
            },
        },
    }
    nodes, functions = network["nodes"], network["functions"]
    assert isinstance(nodes, list) and isinstance(functions, list)
    assert {f["key"]: f["api"] for f in functions} == {
        "addressing": "https://127.0.0.1:9001",
        "localization": "https://127.0.0.1:9006",
        "pseudonyms": "https://127.0.0.1:9007",
        "consent": "https://127.0.0.1:9008",
        "broker": "https://localhost:9003",
    }
    assert [n["key"] for n in nodes] == ["hospital", "clinic", "rehabilitation", "gp", "pharmacy"]
    hospital = {key: nodes[0][key] for key in ("api", "fhir", "certificate", "key_file")}
    assert hospital == {
        "api": "https://127.0.0.1:9010/api",
        "fhir": {
            "STU3": "https://127.0.0.1:9010/fhir/STU3",
            "R4": "https://127.0.0.1:9010/fhir/R4",
        },
        "certificate": str(tmp_path / "pki" / "hospital" / "server.pem"),
        "key_file": str(tmp_path / "pki" / "hospital" / "server.key"),
    }


def test_every_provider_has_a_ura_of_its_own(tmp_path: Path) -> None:
    uras = [member.ura for member in plan(tmp_path).members]
    assert len(set(uras)) == 5
    assert all(re.fullmatch(r"\d{8}", ura) for ura in uras)


def test_a_folder_is_kept_in_full_so_that_it_holds_from_anywhere() -> None:
    made = plan(Path("somewhere"))
    assert made.folder == Path.cwd() / "somewhere"
    assert made.log("hospital") == made.folder / "logs" / "hospital.log"
    assert made.settings("hospital") == made.folder / "settings" / "hospital.toml"


@pytest.mark.parametrize("base", [-1, 0, 80, 1023, 65001, 70000])
def test_a_port_that_cannot_be_is_refused_with_what_can(tmp_path: Path, base: int) -> None:
    with pytest.raises(LdnError, match="choose a number from 1024 to 65000") as caught:
        plan(tmp_path, base)
    assert caught.value.issue is Issue.INVALID


@pytest.mark.parametrize("base", [1024, 65000])
def test_the_lowest_and_the_highest_base_leave_room_for_all(tmp_path: Path, base: int) -> None:
    assert max(plan(tmp_path, base).ports.values()) < 65536


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    made = plan(tmp_path / "network")
    with (
        ground.claimed(made),
        pytest.raises(LdnError, match=r"already runs in .* choose another --dir") as caught,
        ground.claimed(made),
    ):
        pytest.fail("two runs hold one folder")
    assert caught.value.issue is Issue.CONFLICT


def test_a_run_that_was_refused_leaves_the_mark_of_the_one_that_runs(tmp_path: Path) -> None:
    made = plan(tmp_path)
    with ground.claimed(made):
        with pytest.raises(LdnError), ground.claimed(made):
            pytest.fail("two runs hold one folder")
        assert (tmp_path / "running").read_text() == f"{os.getpid()}\n"
    assert not (tmp_path / "running").exists()


def test_after_a_clean_end_the_folder_can_be_claimed_again(tmp_path: Path) -> None:
    made = plan(tmp_path)
    for _ in range(2):
        with ground.claimed(made) as clean:
            assert clean


def fail_within(made: Plan) -> None:
    with ground.claimed(made):
        raise ZeroDivisionError


def test_after_an_end_that_was_not_clean_the_next_run_is_told(tmp_path: Path) -> None:
    made = plan(tmp_path)
    with pytest.raises(ZeroDivisionError):
        fail_within(made)
    with ground.claimed(made) as clean:
        assert not clean
    with ground.claimed(made) as clean:
        assert clean


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(LdnError, match=r"cannot write in .*file/below.* --dir") as caught,
        ground.claimed(plan(tmp_path / "file" / "below")),
    ):
        pytest.fail("there is no such folder")
    assert caught.value.issue is Issue.TRANSIENT


def test_a_file_is_written_with_its_folders_and_rights(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "secret.toml"
    ground.write(file, "ë = 1\n", 0o600)
    assert file.read_bytes() == "ë = 1\n".encode()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in file.parent.iterdir()] == ["secret.toml"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    ground.write(file, "a long first content\n")
    with file.open() as reader:
        ground.write(file, "short\n")
        assert reader.read() == "a long first content\n"
    assert file.read_text() == "short\n"


def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "network.json"
    target.mkdir()
    (target / "kept").write_text("x")
    with pytest.raises(LdnError, match=r"cannot write .*network\.json: .*--dir") as caught:
        ground.write(target, "content")
    assert caught.value.issue is Issue.TRANSIENT
    assert [p.name for p in tmp_path.iterdir()] == ["network.json"]


def test_a_file_below_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LdnError, match=r"cannot write .*settings\.toml"):
        ground.write(tmp_path / "file" / "settings.toml", "content")


def test_a_port_is_free_until_somebody_listens() -> None:
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port = listener.getsockname()[1]
        listener.listen()
        assert not ground.free(port)
    assert ground.free(port)


def test_free_ports_are_no_hindrance(tmp_path: Path) -> None:
    ground.require_ports(plan(tmp_path, quiet_base()), patience=0)


def test_a_busy_port_is_named_with_the_part_that_needs_it(tmp_path: Path) -> None:
    made = plan(tmp_path, quiet_base())
    with socket.socket() as listener:
        listener.bind((HOST, made.ports["clinic"]))
        listener.listen()
        with pytest.raises(LdnError) as caught:
            ground.require_ports(made, patience=0)
    port = made.ports["clinic"]
    assert caught.value.issue is Issue.CONFLICT
    assert caught.value.message == (
        f"in use by another program: port {port} (clinic); choose --port-base"
    )


def test_waiting_ends_when_what_was_left_behind_is_gone() -> None:
    looks = iter([False, True])
    ground.wait_gone(lambda: next(looks))
    assert next(looks, None) is None
