// Package netlink tests what programs see and change of the network's configuration: by package net,
// by libraries for netlink(7), by ioctls (netdevice(7)) and in /proc/net. Its tests pass on Linux,
// where those that change something do so in a network namespace of their own and need root for it,
// and unchanged in a guest.
package netlink
