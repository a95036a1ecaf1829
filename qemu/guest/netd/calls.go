package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// calls are what the program does as a client.
var calls = map[string]func(ctx context.Context, argument string) (string, error){
	"interfaces": interfaces,
	"hostname": func(context.Context, string) (string, error) {
		name, err := os.Hostname()
		return name + "\n", err
	},
	"read": func(_ context.Context, name string) (string, error) {
		text, err := os.ReadFile(name)
		return string(text), err
	},
	"lookup": func(ctx context.Context, name string) (string, error) {
		addrs, err := net.DefaultResolver.LookupHost(ctx, name)
		return strings.Join(addrs, "\n") + "\n", err
	},
	"lookup-txt": func(ctx context.Context, name string) (string, error) {
		texts, err := net.DefaultResolver.LookupTXT(ctx, name)
		return strings.Join(texts, "\n") + "\n", err
	},
	"lookup-addr": func(ctx context.Context, addr string) (string, error) {
		names, err := net.DefaultResolver.LookupAddr(ctx, addr)
		return strings.Join(names, "\n") + "\n", err
	},
	"get": func(ctx context.Context, url string) (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return "", err
		}
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		return string(text), err
	},
	"dial": func(ctx context.Context, address string) (string, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			return "", err
		}
		defer c.Close()
		return c.LocalAddr().String() + "\n", nil
	},
	"clock":   func(context.Context, string) (string, error) { return time.Now().UTC().Format(time.RFC3339), nil },
	"capture": capture,
	"listen": func(_ context.Context, address string) (string, error) {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return "", err
		}
		return l.Addr().String() + "\n", l.Close()
	},
}

func call(name, argument string) (string, error) {
	f := calls[name]
	if f == nil {
		return "", errors.New("no call " + name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return f(ctx, argument)
}

func interfaces(context.Context, string) (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&b, i.Index, i.Name, i.Flags, i.MTU, addrs)
	}
	return b.String(), nil
}
