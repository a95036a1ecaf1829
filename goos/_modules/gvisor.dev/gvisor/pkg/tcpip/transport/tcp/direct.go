package tcp

import "sync/atomic"

// directState says whether an endpoint's packets take the direct way (package stack).
type directState struct{ outside atomic.Bool }

// Direct implements what package stack expects of the end of a connection.
func (e *Endpoint) Direct() bool { return e.direct.outside.Load() }
