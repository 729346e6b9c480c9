//go:build tools

// Package components pins the programs that the black-box tests run beside m3rs.
package components

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
	_ "github.com/prometheus/prometheus/cmd/promtool"
)
