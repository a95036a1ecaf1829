package ext4_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goshawk-os/goshawk/fs/abi"
	"github.com/goshawk-os/goshawk/fs/block"
)

// TestXattrs sets and removes random attributes, with remounts, and has e2fsck and debugfs look.
func TestXattrs(t *testing.T) {
	for _, name := range []string{"1k", "4k", "nocsum", "csum_seed"} {
		t.Run(name, func(t *testing.T) {
			img := emptyImage(t, "16M", variations[name]...)
			rnd := rand.New(rand.NewPCG(3, 4))
			want := map[string]map[string][]byte{"/a": {}, "/b": {}, "/d": {}, "/l": {}}
			for round := range 5 {
				_, ns, end := mountDevice(t, block.NewMemory(img, 512))
				if round == 0 {
					require.NoError(t, ns.Mknod(nil, "/a", 0o600, 0))
					require.NoError(t, ns.Mknod(nil, "/b", 0o600, 0))
					require.NoError(t, ns.Mkdir(nil, "/d", 0o700))
					require.NoError(t, ns.Symlink("a", nil, "/l"))
				}
				full := 0
				for range 300 {
					file := []string{"/a", "/b", "/d", "/l"}[rnd.IntN(4)]
					prefix := []string{"user.", "trusted.", "security."}[rnd.IntN(3)]
					if file == "/l" {
						prefix = "trusted."
					}
					attr := prefix + strings.Repeat("n", 1+rnd.IntN(3)) + fmt.Sprint(rnd.IntN(5))
					set := want[file]
					_, exists := set[attr]
					if rnd.IntN(3) == 0 {
						err := ns.Removexattr(nil, file, attr, abi.AT_SYMLINK_NOFOLLOW)
						if exists {
							require.NoError(t, err)
							delete(set, attr)
						} else {
							require.Equal(t, syscall.ENODATA, err)
						}
						continue
					}
					value := bytes.Repeat([]byte{byte(rnd.Uint32())}, rnd.IntN(200))
					how := rnd.IntN(3)
					switch err := ns.Setxattr(nil, file, attr, value, how, abi.AT_SYMLINK_NOFOLLOW); {
					case how == abi.XATTR_CREATE && exists:
						require.Equal(t, syscall.EEXIST, err)
					case how == abi.XATTR_REPLACE && !exists:
						require.Equal(t, syscall.ENODATA, err)
					case err == syscall.ENOSPC:
						full++
					default:
						require.NoError(t, err)
						set[attr] = value
					}
				}
				t.Logf("no room %d times", full)
				end()
				check(t, img)
				_, ns, end = mountDevice(t, block.NewMemory(img, 512))
				for file, set := range want {
					buf := make([]byte, 4096)
					n, err := ns.Listxattr(nil, file, buf, abi.AT_SYMLINK_NOFOLLOW)
					require.NoError(t, err)
					var names []string
					for _, s := range bytes.Split(bytes.TrimSuffix(buf[:n], []byte{0}), []byte{0}) {
						if len(s) > 0 {
							names = append(names, string(s))
						}
					}
					assert.Len(t, names, len(set))
					for attr, value := range set {
						assert.True(t, slices.Contains(names, attr), "%s %s", file, attr)
						n, err := ns.Getxattr(nil, file, attr, buf, abi.AT_SYMLINK_NOFOLLOW)
						require.NoError(t, err)
						assert.Equal(t, value, buf[:n:n][:len(value)])
						assert.Equal(t, len(value), n)
					}
				}
				if round == 4 {
					for _, file := range []string{"/a", "/b", "/l"} {
						require.NoError(t, ns.Unlink(nil, file, 0))
					}
				}
				end()
				check(t, img)
			}
		})
	}
}
