// Goshawk builds ordinary Go programs for the bare machine, and boots them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/goshawk-os/goshawk/goos"
)

// Exit statuses of goshawk itself. A guest's own status is passed on as it is.
const (
	statusFailed  = 1
	statusUsage   = 2
	statusTimeout = 124 // as timeout(1)
	statusNoGuest = 125 // the guest ended without a status; also what a failed nucleus reports
)

// A command is one verb of goshawk.
type command struct {
	name     string
	usage    string // what follows the name
	short    string // one line for the list of commands, "" hides it
	long     string
	examples string
	flags    *flag.FlagSet // nil: the command takes its arguments as they are
	run      func(args []string) (status int, err error)
}

// A usageError is a command line that cannot be meant.
type usageError struct{ error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

func commands() []*command {
	return []*command{
		runCommand(), buildCommand(), testCommand(), fsCommand(), doctorCommand(), versionCommand(), execTestCommand(),
	}
}

func main() {
	os.Exit(dispatch(os.Args[1:]))
}

// dispatch runs one command line and returns the exit status.
func dispatch(args []string) int {
	all := commands()
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, overview(all))
		return statusUsage
	}
	name := args[0]
	switch name {
	case "help", "-h", "-help", "--help":
		return help(all, args[1:])
	case "-version", "--version":
		name = "version"
	}
	c := find(all, name)
	if c == nil {
		fmt.Fprintf(os.Stderr, "goshawk: unknown command %q; see goshawk help\n", name)
		return statusUsage
	}
	return c.main(args[1:])
}

func find(all []*command, name string) *command {
	for _, c := range all {
		if c.name == name {
			return c
		}
	}
	return nil
}

// main parses the flags and runs the command.
func (c *command) main(args []string) int {
	if c.flags != nil {
		c.flags.SetOutput(io.Discard)
		c.flags.Usage = func() {}
		err := c.flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			fmt.Print(c.help())
			return 0
		}
		if err != nil {
			return c.report(0, usageError{err})
		}
		args = c.flags.Args()
	}
	return c.report(c.run(args))
}

// report prints an error as one line and returns the exit status.
func (c *command) report(status int, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return status
	case errors.Is(err, goos.ErrShown):
		return statusFailed
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "goshawk %s: %v; see goshawk help %s\n", c.name, oneLine(err), c.name)
		return statusUsage
	case errors.Is(err, context.Canceled):
		return statusFailed // by a signal, which the user has sent
	}
	fmt.Fprintf(os.Stderr, "goshawk: %s\n", oneLine(err))
	if status == 0 {
		status = statusFailed
	}
	return status
}

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

func overview(all []*command) string {
	var b strings.Builder
	b.WriteString("Goshawk links an ordinary Go program with a kernel written in Go and boots it\nwithout an operating system.\n\nUsage:\n\n\tgoshawk COMMAND [arguments]\n\nCommands:\n\n")
	for _, c := range all {
		if c.short != "" {
			fmt.Fprintf(&b, "\t%-10s %s\n", c.name, c.short)
		}
	}
	b.WriteString("\ngoshawk help COMMAND says more. A first program:\n\n\tgoshawk run github.com/goshawk-os/goshawk/cmd/hello@latest\n")
	return b.String()
}

func help(all []*command, args []string) int {
	if len(args) == 0 {
		fmt.Print(overview(all))
		return 0
	}
	c := find(all, args[0])
	if c == nil || len(args) > 1 {
		fmt.Fprintf(os.Stderr, "goshawk help: unknown command %q; see goshawk help\n", strings.Join(args, " "))
		return statusUsage
	}
	fmt.Print(c.help())
	return 0
}

func (c *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Usage: goshawk %s %s\n\n%s\n", c.name, c.usage, strings.TrimSpace(c.long))
	if c.flags != nil {
		b.WriteString("\nFlags:\n\n")
		c.flags.SetOutput(&b)
		c.flags.PrintDefaults()
		c.flags.SetOutput(io.Discard)
	}
	if c.examples != "" {
		fmt.Fprintf(&b, "\nExamples:\n\n%s", c.examples)
	}
	return b.String()
}
