//go:build goshawk

package network

import (
	"os"
	"path"
)

// host is the machine that package configure configures.
type host struct{}

// ReadFile implements configure.Host.
func (host) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

// WriteFile implements configure.Host.
func (host) WriteFile(name string, data []byte) error {
	if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// SetHostname implements configure.Host.
func (host) SetHostname(name string) {}
