package netstack

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/refs"
)

// TestMain ends with a look for packets and buffers that nobody has released.
func TestMain(m *testing.M) {
	refs.SetLeakMode(refs.LeaksPanic)
	status := m.Run()
	if leaks := leaked(); status == 0 && len(leaks) > 0 {
		fmt.Println(strings.Join(leaks, "\n"))
		status = 1
	}
	os.Exit(status)
}

// leaked returns the references to packets and memory that are left. Addresses are not counted: gVisor
// forgets them where a stack is closed.
func leaked() (leaks []string) {
	defer func() {
		text, _ := recover().(string)
		for line := range strings.Lines(text) {
			if strings.Contains(line, "buffer.chunk") || strings.Contains(line, "packetBuffer") || strings.Contains(line, "tcp.segment") {
				leaks = append(leaks, strings.TrimSpace(line))
			}
		}
	}()
	refs.DoRepeatedLeakCheck()
	return nil
}
