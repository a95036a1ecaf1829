// Package sock tests the sockets of package net and of system calls, on any Linux and in a guest.
package sock
