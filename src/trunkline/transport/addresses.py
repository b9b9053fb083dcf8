"""Which addresses may be reached on behalf of a caller. Pure: nothing is resolved here.

`ipaddress.is_global` does not suffice: Python 3.11's passes the metadata service of Oracle's cloud,
site-local and half of the reserved IPv6 addresses, and other versions answer differently. So what is
public is said here in full, after IANA's special-purpose registries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers; the metadata service of Alibaba's cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's own service inside every machine, at a public address
        "169.254.0.0/16",  # link-local; the metadata services of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; the metadata service of Oracle's cloud
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
]
_PUBLIC_IPV6 = IPv6Network("2000::/3")  # all that has been given out; the rest is not routed
_NOT_PUBLIC_IPV6 = [
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")


class Allowed:
    """What the operator lists in ``[egress] allow``: networks, addresses and host names."""

    def __init__(self, entries: Sequence[str] = ()) -> None:
        self._networks: list[Network] = []
        self._hosts: set[str] = set()
        for entry in entries:
            try:
                self._networks.append(ip_network(entry))
            except ValueError:
                self._hosts.add(entry.lower().removesuffix("."))

    def host(self, name: str) -> bool:
        """Whether a host is listed by its name, whatever its addresses are."""
        return name in self._hosts

    def address(self, address: Address) -> bool:
        """Whether an address lies in a listed network."""
        return any(address in network for network in self._networks)


def permitted(text: str, allowed: Allowed) -> bool:
    """Whether an address may be reached: it is public or listed, and so is each one inside it."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return _permitted(address, allowed)


def listed(text: str, allowed: Allowed) -> bool:
    """Whether an address is listed, by itself or as the IPv4 address that it is written around."""
    address = ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return allowed.address(mapped or address)


def _permitted(address: Address, allowed: Allowed) -> bool:
    if isinstance(address, IPv4Address):
        return allowed.address(address) or not any(address in network for network in _NOT_PUBLIC)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return _permitted(address.ipv4_mapped, allowed)
    if not all(_permitted(inner, allowed) for inner in _inside(address)):
        return False
    return allowed.address(address) or _public(address)


def _public(address: IPv6Address) -> bool:
    if address in _NAT64:  # how the IPv4 internet looks from a network that has only IPv6
        return True
    return address in _PUBLIC_IPV6 and not any(address in network for network in _NOT_PUBLIC_IPV6)


def _inside(address: IPv6Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses at which a tunnel or a translator would deliver."""
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _NAT64 or address in _LOCAL_NAT64:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
