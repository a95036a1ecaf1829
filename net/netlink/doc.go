// Package netlink is AF_NETLINK (netlink(7), rtnetlink(7)) over gVisor's stack: links, addresses,
// routes, neighbours and rules for programs that list, change and watch them, the list of sockets
// (sock_diag(7)), and the SIOC requests of netdevice(7).
//
// An interface index is the stack's NIC ID. The stack has one routing table, the main one; the
// entries of table local and the rules are those that Linux would have for the same addresses.
// The stack knows no protocol, scope or metric of a route: what a program gave is kept beside it,
// and what the kernel itself would have made is recognised by its form.
//
// The numbers and structures are those of linux/netlink.h, linux/rtnetlink.h, linux/if_link.h,
// linux/if_addr.h, linux/neighbour.h, linux/fib_rules.h and linux/inet_diag.h of Linux 6.1.
package netlink
