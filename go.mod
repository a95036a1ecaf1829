module github.com/goshawk-os/goshawk

go 1.26.0

require (
	github.com/google/pprof v0.0.0-20261016150608-1facf8f91b50 // indirect
	github.com/stretchr/testify v1.12.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	mvdan.cc/sh/v3 v3.14.1 // indirect
)
