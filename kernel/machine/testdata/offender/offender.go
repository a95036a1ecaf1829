// Package offender does all that a package of the nucleus must not do. objects_test.go looks for it.
package offender

type node struct{ next *node }

var (
	head  = make(map[int]int)
	first *node
)

// Allocate allocates and stores a pointer.
func Allocate() {
	first = &node{first}
	head[1] = 2
}

// Call calls through a pointer.
func Call(f func()) { f() }
