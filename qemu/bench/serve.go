//go:build linux && amd64

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/goshawk-os/goshawk/qemu"
	"github.com/goshawk-os/goshawk/qemu/plugin"
)

// A serving is a guest that runs qemu/bench/server.
type serving struct {
	g        *guest
	process  *qemu.Process
	places   map[uint16]string
	output   *console
	messages *events
	start    time.Time     // of QEMU
	ready    time.Time     // when it said that it listens
	served   time.Time     // when the first response had come
	ended    chan struct{} // closed when the guest has stopped
}

// A console keeps a guest's output, and tells the time of a line.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
	line string
	seen chan time.Time
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(b)
	if c.line != "" && strings.Contains(c.text.String(), c.line) {
		c.line = ""
		c.seen <- time.Now()
	}
	return len(b), nil
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// client opens a connection for each request.
var client = http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func get(url string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return err
}

// serve boots a server on a link, and returns when it has answered a request.
func (b *bench) serve(g *guest, l link, timeout time.Duration, args []string, options ...qemu.Option) (*serving, error) {
	nic, places, err := l.device()
	if err != nil {
		return nil, err
	}
	s := &serving{
		g: g, places: places, messages: &events{},
		output: &console{line: "ready\n", seen: make(chan time.Time, 1)}, ended: make(chan struct{}),
	}
	// Options of the guest come last: they look at the network devices.
	options = append(append([]qemu.Option{qemu.Network(nic)}, options...), g.options(args, b.clock)...)
	m := qemu.New(g.kernel, options...)
	m.Output, m.Messages, m.Timeout = crlf{s.output}, s.messages, time.Hour
	s.start = time.Now()
	if s.process, err = m.Start(b.ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	go func() {
		defer close(s.ended)
		s.process.Wait()
		cancel()
	}()
	give := func(err error) (*serving, error) {
		s.process.Kill()
		<-s.ended
		return nil, fmt.Errorf("%s, %s: %w; its output: %q", g.system, l.name, err, s.output)
	}
	select {
	case s.ready = <-s.output.seen:
	case <-ctx.Done():
		return give(errors.New("it did not come to listen"))
	}
	if err := s.first(ctx); err != nil {
		return give(err)
	}
	s.served = time.Now()
	return s, nil
}

// first makes the first request. The guest may listen before its network is up, so that packets are
// lost: there is a try every few milliseconds, and the first to be answered counts.
func (s *serving) first(ctx context.Context) error {
	const every = 3 * time.Millisecond
	answered := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	try := func() {
		d := net.Dialer{Timeout: time.Second}
		c, err := d.DialContext(ctx, "tcp", s.places[httpPort])
		if err != nil {
			return
		}
		defer c.Close()
		defer context.AfterFunc(ctx, func() { c.Close() })()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: guest\r\n\r\n")
		var status [15]byte
		if _, err := io.ReadFull(c, status[:]); err == nil && string(status[:]) == "HTTP/1.1 200 OK" {
			select {
			case answered <- struct{}{}:
			default:
			}
		}
	}
	for {
		go try()
		select {
		case <-answered:
			return nil
		case <-ctx.Done():
			return errors.New("it listens and does not answer")
		case <-time.After(every):
		}
	}
}

// stop ends the guest.
func (s *serving) stop() error {
	get(url(s.places, "/exit")) // which cannot answer
	alarm := time.AfterFunc(20*time.Second, s.process.Kill)
	<-s.ended
	if !alarm.Stop() {
		return fmt.Errorf("%s did not stop; its output: %q", s.g.system, s.output)
	}
	return nil
}

// crlf drops the carriage returns that Linux's console adds.
type crlf struct{ w io.Writer }

func (c crlf) Write(b []byte) (int, error) {
	_, err := c.w.Write(bytes.ReplaceAll(b, []byte("\r"), nil))
	return len(b), err
}

// events are QEMU's messages: the plugin's marks and, between the marks "begin" and "end", how often
// each kind of trace event came.
type events struct {
	mu       sync.Mutex
	rest     []byte
	marks    map[string]plugin.Mark
	ticks    []plugin.Mark
	counts   map[string]int
	messages bytes.Buffer // all others
}

func (e *events) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rest = append(e.rest, b...)
	for {
		i := bytes.IndexByte(e.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		e.line(string(e.rest[:i+1]))
		e.rest = e.rest[i+1:]
	}
}

func (e *events) line(line string) {
	if e.marks == nil {
		e.marks, e.counts = make(map[string]plugin.Mark), make(map[string]int)
	}
	if marks, err := plugin.Parse(line); err == nil && len(marks) == 1 {
		if marks[0].Name == "tick" {
			e.ticks = append(e.ticks, marks[0])
		} else {
			e.marks[marks[0].Name] = marks[0]
		}
		return
	}
	name, rest, _ := strings.Cut(line, " ")
	if _, traced := traceEvents[name]; !traced {
		e.messages.WriteString(line)
		return
	}
	_, begun := e.marks[markBegin]
	_, ended := e.marks[markEnd]
	if begun && !ended {
		e.counts[name]++
		if i := strings.Index(rest, "name '"); i >= 0 {
			e.counts[strings.TrimSpace(rest[i:])]++
		}
	}
}

// mark returns a mark, waiting a moment for it.
func (e *events) mark(name string) (plugin.Mark, error) {
	for range 100 {
		e.mu.Lock()
		m, ok := e.marks[name]
		e.mu.Unlock()
		if ok {
			return m, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return plugin.Mark{}, fmt.Errorf("the guest did not come past the mark %q: %s", name, e.messages.String())
}
