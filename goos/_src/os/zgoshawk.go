package os

// Every program that can reach a file has the kernel, and the kernel is
// initialised before this package opens its standard files.
import _ "goshawk/boot"
