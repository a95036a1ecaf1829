// Files shows file system access: it writes a small tree of files, changes it, reads it back, lists
// it and removes it. With arguments it lists the trees they name instead, for example the files
// that were built into the image.
package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "files:", err)
		os.Exit(1)
	}
}

func run(dirs []string) error {
	if len(dirs) == 0 {
		return demo()
	}
	for _, dir := range dirs {
		if err := list(dir); err != nil {
			return err
		}
	}
	return nil
}

// demo does its work in a folder of its own, which it removes at the end.
func demo() (err error) {
	dir, err := os.MkdirTemp("", "files-")
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); err == nil {
			err = removeErr
		}
	}()

	fmt.Println("Writing a tree:")
	if err := write(dir); err != nil {
		return err
	}
	if err := list(dir); err != nil {
		return err
	}

	fmt.Println("\nReading it back:")
	if err := read(filepath.Join(dir, "latest")); err != nil {
		return err
	}

	fmt.Println("\nRenaming the folder and appending to README:")
	if err := change(dir); err != nil {
		return err
	}
	return list(dir)
}

// write makes a few files, a folder and a symbolic link in dir.
func write(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "birds", "small"), 0o755); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"README":              "A tree of birds.\n",
		"birds/goshawk":       "Accipiter gentilis\nhunts in woods\n",
		"birds/small/kestrel": "Falco tinnunculus\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return os.Symlink("birds/goshawk", filepath.Join(dir, "latest"))
}

// read prints a file line by line.
func read(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		fmt.Printf("%6d  %s\n", n, lines.Text())
	}
	return lines.Err()
}

// change renames the folder, points the link to its new name and appends a line to a file.
func change(dir string) error {
	if err := os.Rename(filepath.Join(dir, "birds"), filepath.Join(dir, "raptors")); err != nil {
		return err
	}
	link := filepath.Join(dir, "latest")
	if err := os.Remove(link); err != nil {
		return err
	}
	if err := os.Symlink("raptors/goshawk", link); err != nil {
		return err
	}
	name := filepath.Join(dir, "README")
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := file.WriteString("They are raptors.\n"); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// list prints a line for each file of a tree, indented by its depth.
func list(dir string) error {
	return filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		shown := entry.Name()
		if name == dir {
			shown = dir
		}
		indent := strings.Repeat("    ", strings.Count(filepath.Join("x", relative), "/"))
		if info.Mode().Type() == fs.ModeSymlink {
			target, err := os.Readlink(name)
			if err != nil {
				return err
			}
			shown += " -> " + target
		}
		fmt.Printf("%s %7d %s %s%s\n",
			info.Mode(), info.Size(), info.ModTime().Format("15:04:05"), indent, shown)
		return nil
	})
}
