package sync

import "sync"

// Mutex is the standard library's, so that locking is inlined.
type Mutex = sync.Mutex

// CrossGoroutineMutex is a Mutex too: any goroutine may unlock it.
type CrossGoroutineMutex = sync.Mutex
