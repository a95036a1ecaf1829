// Package osfile tests files as package os shows them. Its tests pass on Linux, and unchanged in a
// guest.
package osfile
