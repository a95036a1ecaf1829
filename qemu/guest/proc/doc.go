// Package proc tests what a program sees of its process and of the system: arguments, environment,
// standard input, pipes, identities, limits, memory mappings, randomness. Its tests pass on Linux,
// and unchanged in a guest.
package proc
