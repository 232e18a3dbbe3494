"""The addresses of node-size clusters: disjoint, in the test range, never somebody else's."""

import itertools
from ipaddress import IPv4Network

import pytest

from tests.cluster.network import BLOCKS, Block, free_blocks, hardware_address

TEST_RANGE = IPv4Network("198.18.0.0/15")
ALL = [Block(index=index) for index in range(BLOCKS)]


def test_the_first_block_is_what_the_documentation_says() -> None:
    block = ALL[0]
    assert block.interface == "atelier0"
    assert str(block.host) == "198.18.0.1"
    assert str(block.inside) == "198.18.0.2"
    assert str(block.services) == "198.19.0.0/20"
    assert str(block.pods(0)) == "198.18.4.0/24"
    assert str(block.pods(1)) == "198.18.5.0/24"
    assert block.dns in block.services


def test_blocks_share_no_address() -> None:
    ranges = [network for block in ALL for network in (block.network, block.services)]
    assert all(network.subnet_of(TEST_RANGE) for network in ranges)
    assert not any(one.overlaps(two) for one, two in itertools.combinations(ranges, 2))


@pytest.mark.parametrize("block", ALL, ids=lambda block: block.interface)
def test_every_node_of_a_block_has_pods_apart_from_the_wire(block: Block) -> None:
    pods = [block.pods(number) for number in range(block.max_nodes)]
    assert len(set(pods)) == block.max_nodes
    assert all(subnet.subnet_of(block.network) for subnet in pods)
    assert not any(block.host in subnet or block.inside in subnet for subnet in pods)
    with pytest.raises(ValueError, match=f"node {block.max_nodes}"):
        block.pods(block.max_nodes)


def test_an_interface_name_fits_the_kernel() -> None:
    assert all(len(block.interface) <= 15 for block in ALL)


@pytest.mark.parametrize(
    ("routes", "first", "count"),
    [
        ([], 0, 16),
        (["default", "10.0.0.0/8", "192.0.2.7"], 0, 16),
        (["198.18.0.0/30", "198.19.0.0/20"], 1, 15),
        (["198.19.0.0/20", "198.18.16.0/20"], 2, 14),
    ],
)
def test_blocks_that_the_host_routes_are_left_alone(
    routes: list[str], first: int, count: int
) -> None:
    free = free_blocks(routes)
    assert free[0].index == first
    assert len(free) == count


def test_somebody_who_routes_the_whole_range_leaves_no_block() -> None:
    assert free_blocks(["198.18.0.0/15"]) == []


def test_an_owner_has_an_address_of_its_own_that_no_manufacturer_has() -> None:
    one, two = hardware_address("/clusters/one"), hardware_address("/clusters/two")
    assert one != two
    assert all(int(each.split(":")[0], 16) & 0b11 == 0b10 for each in (one, two))
    assert all(len(bytes.fromhex(each.replace(":", ""))) == 6 for each in (one, two))
